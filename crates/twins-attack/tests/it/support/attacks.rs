//! One of each attack, with few steps.

use twins_attack::{
    ApgdConfig, Attack, Attempt, Criterion, FabConfig, Loss, Model, PgdConfig, Returned, RunSelection,
    Sample, SquareConfig, Start, Targets, ThreatModel,
};

/// The attacks that are defined for so many classes.
pub fn attacks(threat: ThreatModel, classes: usize, seed: u64) -> Vec<Box<dyn Attack>> {
    let size = threat.epsilon() / 3.0;
    let pgd = PgdConfig::new(threat, 4, size).with_seed(seed);
    let apgd = ApgdConfig::new(threat).with_steps(6).with_seed(seed);
    let fab = FabConfig::new(threat).with_steps(4).with_seed(seed);
    let mut all: Vec<Box<dyn Attack>> = vec![
        Box::new(PgdConfig::fgsm(threat).build().unwrap()),
        Box::new(PgdConfig::mi_fgsm(threat, 3).build().unwrap()),
        Box::new(pgd.clone().with_start(Start::Uniform).build().unwrap()),
        Box::new(pgd.clone().with_start(Start::Gaussian(0.01)).with_loss(Loss::Kl).build().unwrap()),
        Box::new(pgd.with_loss(Loss::Margin).with_returned(Returned::FirstFooled).build().unwrap()),
        Box::new(apgd.clone().build().unwrap()),
        Box::new(apgd.clone().with_loss(Loss::Margin).with_targets(Targets::Top(3)).build().unwrap()),
        Box::new(apgd.clone().with_returned(Returned::BestLoss).build().unwrap()),
        Box::new(fab.clone().with_restarts(2).build().unwrap()),
        Box::new(fab.with_targets(Targets::Top(3)).build().unwrap()),
        Box::new(SquareConfig::new(threat).with_queries(12).with_seed(seed).build().unwrap()),
    ];
    if classes >= 3 {
        all.push(Box::new(apgd.clone().with_loss(Loss::Dlr).build().unwrap()));
    }
    if classes >= 4 {
        all.push(Box::new(apgd.with_loss(Loss::Dlr).with_targets(Targets::Top(2)).build().unwrap()));
    }
    all
}

/// An attack with more restarts.
#[derive(Debug)]
pub struct Repeated(pub Box<dyn Attack>, pub usize);

impl Attack for Repeated {
    fn name(&self) -> String {
        self.0.name()
    }

    fn threat_model(&self) -> ThreatModel {
        self.0.threat_model()
    }

    fn targets(&self) -> Targets {
        self.0.targets()
    }

    fn restarts(&self) -> usize {
        self.1 * self.0.restarts()
    }

    fn run_selection(&self) -> RunSelection {
        self.0.run_selection()
    }

    fn criterion(&self) -> Criterion {
        self.0.criterion()
    }

    fn eot(&self) -> usize {
        self.0.eot()
    }

    fn uses_gradients(&self) -> bool {
        self.0.uses_gradients()
    }

    fn budget(&self, classes: usize) -> u64 {
        self.1 as u64 * self.0.budget(classes)
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        self.0.attack(sample, model)
    }
}
