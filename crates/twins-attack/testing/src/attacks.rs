use twins_attack::{
    ApgdConfig, Attack, Attempt, Criterion, DdnConfig, Depth, FabConfig, FmnConfig, Loss, Model, Norm,
    PgdConfig, Returned, RunSelection, Sample, SigmaZeroConfig, SquareConfig, Start, Targets, ThreatModel,
};

/// The attacks that support the norm and are defined for this many classes.
pub fn attacks(threat: ThreatModel, classes: usize, seed: u64) -> Vec<Box<dyn Attack>> {
    let mut all = minimum_norm_attacks(threat, seed);
    if threat.norm() != Norm::L0 {
        all.extend(bounded_attacks(threat, classes, seed));
    }
    all
}

/// The attacks that search for the nearest adversarial example with one gradient per step.
fn minimum_norm_attacks(threat: ThreatModel, seed: u64) -> Vec<Box<dyn Attack>> {
    let fmn = FmnConfig::new(threat).with_steps(6);
    let targeted = fmn.clone().with_targets(Targets::Top(3)).with_depth(Depth::WithinEpsilon);
    let mut all: Vec<Box<dyn Attack>> =
        vec![Box::new(fmn.build().unwrap()), Box::new(targeted.build().unwrap())];
    match threat.norm() {
        Norm::L2 => {
            let ddn = DdnConfig::new(threat).with_steps(6).with_seed(seed);
            all.push(Box::new(ddn.clone().build().unwrap()));
            let targeted = ddn.with_levels(256).with_targets(Targets::LeastLikely);
            all.push(Box::new(targeted.with_depth(Depth::WithinEpsilon).build().unwrap()));
        }
        Norm::L0 => {
            let sigma_zero = SigmaZeroConfig::new(threat).with_steps(8);
            all.push(Box::new(sigma_zero.clone().build().unwrap()));
            all.push(Box::new(sigma_zero.with_depth(Depth::WithinEpsilon).build().unwrap()));
        }
        Norm::Linf | Norm::L1 => {}
    }
    all
}

/// The attacks that search for an adversarial example within epsilon, and FAB.
fn bounded_attacks(threat: ThreatModel, classes: usize, seed: u64) -> Vec<Box<dyn Attack>> {
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

    fn passes(&self, classes: usize) -> u64 {
        self.0.passes(classes)
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, model: Model) -> Attempt<'a> {
        self.0.attack(sample, model)
    }
}
