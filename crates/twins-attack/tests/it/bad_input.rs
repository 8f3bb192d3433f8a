//! Wrong settings, data and models are named.

use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, Attack, AttackError, Attempt, AutoAttackConfig, DdnConfig, FabConfig, FmnConfig, Loss, Model,
    Norm, PgdConfig, RobustnessEvaluation, Sample, Samples, SigmaZeroConfig, SquareConfig, Start, Targets,
    ThreatModel, Version,
};

fn images(n: usize) -> Tensor<4> {
    Tensor::full([n, 1, 1, 3], 0.5, &Device::flex())
}

fn threat() -> ThreatModel {
    ThreatModel::new(Norm::Linf, 0.1).unwrap()
}

fn three_classes(x: Tensor<4>) -> Tensor<2> {
    x.flatten::<2>(1, 3)
}

fn message(result: Result<impl Sized, AttackError>) -> String {
    match result {
        Ok(_) => panic!("must be refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings() {
    let pgd = |steps, size| PgdConfig::new(threat(), steps, size);
    assert!(message(pgd(0, 0.1).build()).contains("0 steps"));
    for size in [-0.5, f32::NAN, f32::INFINITY] {
        assert!(message(pgd(1, size).build()).contains(&format!("step size is {size}")));
    }
    assert!(message(pgd(1, 0.1).with_eot(0).build()).contains("EOT"));
    assert!(message(pgd(1, 0.1).with_momentum(1.5).build()).contains("momentum is 1.5"));
    assert!(message(pgd(1, 0.1).with_l1_fraction(0.0).build()).contains("L1"));
    assert!(message(pgd(1, 0.1).with_start(Start::Gaussian(f32::NAN)).build()).contains("NaN"));
    assert!(
        message(pgd(1, 0.1).with_loss(Loss::Kl).with_targets(Targets::LeastLikely).build()).contains("KL")
    );
    for start in [Start::Clean, Start::Gaussian(0.0)] {
        let text = message(pgd(1, 0.1).with_loss(Loss::Kl).with_start(start).build());
        assert!(text.contains("Start::Uniform") && text.contains("Start::Gaussian(0.001)"), "{text}");
    }
    assert!(pgd(1, 0.1).with_loss(Loss::Kl).with_start(Start::Uniform).build().is_ok());
    assert!(message(pgd(1, 0.1).with_restarts(0).build()).contains("0 restarts"));
}

#[test]
fn settings_of_attacks_with_a_minimum_norm() {
    let ddn = DdnConfig::new(ThreatModel::new(Norm::L2, 1.0).unwrap());
    assert!(message(ddn.clone().with_steps(0).build()).contains("DDN with 0 steps"));
    assert!(message(ddn.clone().with_targets(Targets::Top(0)).build()).contains("0 targets"));
    assert!(message(ddn.clone().with_gamma(1.0).build()).contains("gamma is 1: it must lie in (0, 1)"));
    assert!(message(ddn.clone().with_radius(0.0).build()).contains("radius is 0"));
    assert!(message(ddn.with_levels(1).build()).contains("levels is 1: it must lie in [2, ∞)"));
    let fmn = FmnConfig::new(threat());
    assert!(message(fmn.clone().with_steps(0).build()).contains("FMN with 0 steps"));
    assert!(message(fmn.clone().with_targets(Targets::Top(0)).build()).contains("0 targets"));
    assert!(message(fmn.clone().with_gamma(f32::NAN).build()).contains("gamma is NaN"));
    assert!(message(fmn.clone().with_step_size(-1.0).build()).contains("step size is -1"));
    assert!(message(fmn.with_overshoot(0.9).build()).contains("overshoot is 0.9"));
    let sigma_zero = SigmaZeroConfig::new(ThreatModel::new(Norm::L0, 9.0).unwrap());
    assert!(message(sigma_zero.clone().with_steps(0).build()).contains("σ-zero with 0 steps"));
    assert!(message(sigma_zero.clone().with_step_size(0.0).build()).contains("step size is 0"));
    assert!(message(sigma_zero.clone().with_sigma(f32::INFINITY).build()).contains("sigma is inf"));
    assert!(message(sigma_zero.clone().with_threshold(1.5).build()).contains("threshold is 1.5"));
    assert!(message(sigma_zero.with_threshold_step(-0.1).build()).contains("threshold_step is -0.1"));
}

#[test]
fn settings_of_fab_and_square() {
    let fab = FabConfig::new(threat());
    assert!(message(fab.clone().with_steps(0).build()).contains("FAB with 0 steps"));
    assert!(message(fab.clone().with_restarts(0).build()).contains("FAB with 0 restarts"));
    assert!(message(fab.clone().with_targets(Targets::Top(0)).build()).contains("0 targets"));
    for alpha_max in [-0.1, 1.1, f32::NAN] {
        let text = message(fab.clone().with_alpha_max(alpha_max).build());
        assert!(text.contains(&format!("alpha_max is {alpha_max}: it must lie in [0, 1]")), "{text}");
    }
    for eta in [0.9, f32::INFINITY] {
        assert!(message(fab.clone().with_eta(eta).build()).contains(&format!("eta is {eta}")));
    }
    for beta in [0.0, 1.0] {
        assert!(message(fab.clone().with_beta(beta).build()).contains(&format!("beta is {beta}")));
    }
    assert!(fab.with_alpha_max(1.0).with_eta(1.0).with_beta(0.5).build().is_ok());
    let square = SquareConfig::new(threat());
    assert!(message(square.clone().with_queries(0).build()).contains("Square with 0 queries"));
    for fraction in [0.0, 1.1, f32::NAN] {
        let text = message(square.clone().with_first_fraction(fraction).build());
        assert!(text.contains(&format!("is {fraction}: it must lie in (0, 1]")), "{text}");
    }
    assert!(square.with_first_fraction(1.0).build().is_ok());
}

#[test]
fn unsupported_norms() {
    let threat = ThreatModel::new(Norm::L0, 1.0).unwrap();
    for (attack, text) in [
        ("PGD", message(PgdConfig::fgsm(threat).build())),
        ("APGD", message(ApgdConfig::new(threat).build())),
        ("FAB", message(FabConfig::targeted(threat, 1).build())),
        ("Square", message(SquareConfig::new(threat).build())),
        (
            "AutoAttack",
            message(RobustnessEvaluation::autoattack(AutoAttackConfig::new(threat, Version::Standard))),
        ),
    ] {
        assert_eq!(text, format!("{attack} does not support L0: it supports linf, l2 and l1"));
    }
    let text = message(DdnConfig::new(threat).build());
    assert_eq!(text, "DDN does not support L0: it supports l2");
    let threat = ThreatModel::new(Norm::L2, 1.0).unwrap();
    let text = message(SigmaZeroConfig::new(threat).build());
    assert_eq!(text, "σ-zero does not support L2: it supports l0");
}

#[test]
fn data_and_model() {
    let pgd = PgdConfig::new(threat(), 2, 0.1).build().unwrap();
    let samples = Samples::new(images(3), vec![0, 3, 1]).unwrap();
    let both = |victim: &(dyn twins_attack::Classifier + Sync), samples: &Samples| {
        let training = pgd.perturb(victim, images(samples.len()), samples.labels(), samples.ids());
        [message(pgd.run(victim, samples)), message(training)]
    };
    for text in both(&three_classes, &samples) {
        assert!(text.contains("sample 1 has label 3") && text.contains("3 classes"), "{text}");
    }
    let samples = Samples::new(images(3), vec![0; 3]).unwrap();
    for text in both(&|x: Tensor<4>| x.flatten::<2>(1, 3).narrow(1, 0, 1), &samples) {
        assert!(text.contains("1 logit per image"), "{text}");
    }
    for text in both(&|x: Tensor<4>| x.inner().flatten::<2>(1, 3), &samples) {
        assert!(text.contains("no gradient"), "{text}");
    }
    let nan = |x: Tensor<4>| {
        let row = Tensor::<2>::from_floats([[0.0], [f32::NAN], [0.0]], &x.device());
        x.flatten::<2>(1, 3) + row
    };
    let numbered = samples.clone().with_ids(vec![10, 11, 12]).unwrap();
    assert!(message(pgd.run(&nan, &numbered)).contains("sample 11"));
    let short = |x: Tensor<4>| x.narrow(0, 0, 1).flatten::<2>(1, 3);
    for text in both(&short, &samples) {
        assert!(text.contains("1 rows of logits for 3 images"), "{text}");
    }
    let perturbed = |labels, keys| message(pgd.perturb(&three_classes, images(2), labels, keys));
    assert!(perturbed(&[0], &[0, 1]).contains("2 images come with 1 labels"));
    assert!(perturbed(&[0, 1], &[0]).contains("2 images come with 1 keys"));
    for value in [f32::NAN, f32::NEG_INFINITY] {
        let starts =
            Tensor::from_floats([[[[0.5, 0.5, 0.5]]], [[[0.5, value, 0.5]]], [[[0.5; 3]]]], &Device::flex());
        let text = message(numbered.clone().with_starts(starts));
        assert!(text.contains("sample 11") && text.contains(&value.to_string()), "{text}");
    }
    assert!(message(samples.with_starts(images(2))).contains("[2, 1, 1, 3]"));
}

#[test]
fn targets() {
    let pgd = |targets| PgdConfig::new(threat(), 2, 0.1).with_targets(targets);
    let samples = Samples::new(images(2), vec![0, 0]).unwrap();
    let run = |config: PgdConfig| message(config.build().unwrap().run(&three_classes, &samples));
    assert!(message(pgd(Targets::Top(0)).build()).contains("0 targets"));
    assert!(run(pgd(Targets::Given)).contains("with_targets"));
    assert!(run(pgd(Targets::Rank(4))).contains("rank 4 among 3 classes"));
    assert!(run(pgd(Targets::Rank(2)).with_loss(Loss::Dlr)).contains("at least 4 classes"));
    let samples = Samples::new(images(2), vec![0, 0]).unwrap().with_targets(vec![1, 7]).unwrap();
    assert!(message(pgd(Targets::Given).build().unwrap().run(&three_classes, &samples)).contains("label 7"));
}

#[test]
fn epsilon_zero_returns_the_image() {
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let pgd = PgdConfig::new(ThreatModel::new(norm, 0.0).unwrap(), 2, 0.1).with_start(Start::Uniform);
        let samples = Samples::new(images(2), vec![0, 1]).unwrap();
        let output = pgd.build().unwrap().run(&three_classes, &samples).unwrap();
        assert_eq!(output.adversarial.try_into_vec_as::<f32>().unwrap(), [0.5; 6]);
        // All logits are equal: the first class is predicted.
        assert_eq!(output.fooled, [false, true]);
    }
}

/// Queries images of another size or with a value that is no number, or waits for something that never comes.
#[derive(Debug)]
enum Wrong {
    Size,
    Value,
    Pending,
}

impl Attack for Wrong {
    fn name(&self) -> String {
        "wrong".to_owned()
    }

    fn threat_model(&self) -> ThreatModel {
        threat()
    }

    fn uses_gradients(&self) -> bool {
        false
    }

    fn passes(&self, _classes: usize) -> u64 {
        1
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
        Box::pin(async move {
            match self {
                Wrong::Size => Ok(model.logits(&sample.image[1..]).await.finding_at(vec![])),
                Wrong::Value => {
                    let image: Vec<f32> = vec![f32::NAN; sample.image.len()];
                    Ok(model.logits(&image).await.finding_at(image))
                }
                Wrong::Pending => std::future::pending().await,
            }
        })
    }
}

#[test]
fn attacks_that_ask_wrongly() {
    let samples = Samples::new(images(2), vec![0, 0]).unwrap();
    let text = message(Wrong::Size.run(&three_classes, &samples));
    assert!(text.contains("wrong queries an image of 2 values") && text.contains("has, 3"), "{text}");
    let text = message(Wrong::Value.run(&three_classes, &samples));
    assert!(text.contains("wrong queries an image with the value NaN"), "{text}");
    let text = message(Wrong::Pending.run(&three_classes, &samples));
    assert!(text.contains("wrong awaits something"), "{text}");
}

/// An attack with numbers that nothing has checked.
#[derive(Debug)]
struct Counts {
    targets: Targets,
    restarts: usize,
    eot: usize,
}

impl Attack for Counts {
    fn name(&self) -> String {
        "counts".to_owned()
    }

    fn threat_model(&self) -> ThreatModel {
        threat()
    }

    fn targets(&self) -> Targets {
        self.targets
    }

    fn restarts(&self) -> usize {
        self.restarts
    }

    fn eot(&self) -> usize {
        self.eot
    }

    fn passes(&self, _classes: usize) -> u64 {
        1
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, mut model: Model) -> Attempt<'a> {
        Box::pin(async move {
            Ok(model.gradient(&sample.image, |_, _| 0.0).await.finding_at(sample.image.to_vec()))
        })
    }
}

/// Without restarts, the attack would not end.
#[test]
fn counts_of_custom_attacks() {
    let samples = Samples::new(images(2), vec![0, 0]).unwrap();
    let counts = |targets, restarts, eot| Counts { targets, restarts, eot };
    for (attack, expected) in [
        (counts(Targets::Top(0), 1, 1), "counts returns 0 targets"),
        (counts(Targets::Malt { candidates: 0, targets: 9 }, 1, 1), "counts returns 0 targets"),
        (counts(Targets::None, 0, 1), "counts returns 0 restarts"),
        (counts(Targets::None, 1, 0), "counts returns 0 EOT repetitions"),
    ] {
        let text = message(attack.run(&three_classes, &samples));
        assert!(text.contains(expected), "{text}");
        let text = message(RobustnessEvaluation::new(vec![Box::new(attack)]));
        assert!(text.contains(expected), "{text}");
    }
}
