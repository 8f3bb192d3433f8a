//! Extreme pixels, logits, radii and step sizes: what `docs/reliability.md` says of them, for every attack and norm.

use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use twins_attack::{
    ApgdConfig, AtPrecision, Attack, AttackError, AttackSettings, FabConfig, FmnConfig, Loss, Norm,
    PgdConfig, Precision, RegisteredAttack, SampleSource, SampleStream, Samples, Setting, SigmaZeroConfig,
    Silent, SourceError, SurrogateGradients, ThreatModel,
};
use twins_attack_testing::{attacks, autoattack, host};

/// A model whose logits are the four pixels, stretched to [-scale, scale].
fn pixels(scale: f32) -> impl Fn(Tensor<4>) -> Tensor<2> + Sync {
    move |images| (images.flatten::<2>(1, 3) * 2.0 - 1.0) * scale
}

fn samples(images: &[[f32; 4]], labels: &[usize]) -> Samples {
    let data = TensorData::new(images.concat(), [images.len(), 1, 2, 2]);
    Samples::new(Tensor::from_data(data, &Device::flex()), labels.to_vec()).unwrap()
}

/// Clear verdicts, ties, a wrong label, and corners of the box. The values are multiples of 1/4, beside which a radius of
/// 1e-12 vanishes without a rounding error that would be large against it.
fn hard_samples() -> Samples {
    let images = [
        [0.75, 0.5, 0.25, 0.0],
        [0.5; 4],
        [0.5; 4],
        [0.0; 4],
        [1.0; 4],
        [1.0, 0.0, 1.0, 0.0],
        [0.0, 0.25, 0.0, 1.0],
    ];
    samples(&images, &[0, 0, 2, 0, 1, 0, 3])
}

/// The class that each image is predicted as: the first of the largest logits.
fn predictions(victim: &impl Fn(Tensor<4>) -> Tensor<2>, images: Tensor<4>) -> Vec<usize> {
    let first_of_largest = |z: &[f32]| (1..4).fold(0, |best, i| if z[i] > z[best] { i } else { best });
    host(victim(images)).chunks(4).map(first_of_largest).collect()
}

/// Runs attacks, and checks that the images lie inside the threat model and that the verdicts are the model's.
fn keep_to_their_rules(
    attacks: Vec<Box<dyn Attack>>,
    victim: &(impl Fn(Tensor<4>) -> Tensor<2> + Sync),
    name: &str,
) {
    let samples = hard_samples();
    for attack in attacks {
        let threat = attack.threat_model();
        let name = format!("{} {threat}, {name}", attack.name());
        let output = attack.run(victim, &samples).unwrap_or_else(|error| panic!("{name}: {error}"));
        let images = host(output.adversarial.clone());
        for (index, point) in images.chunks(4).enumerate() {
            let image = samples.image(index);
            assert!(threat.contains(image, point), "{name}: {image:?} became {point:?}");
        }
        let predicted = predictions(victim, output.adversarial.clone());
        assert_eq!(output.predictions, predicted, "{name}");
        for (index, label) in samples.labels().iter().enumerate() {
            assert_eq!(output.fooled[index], predicted[index] != *label, "{name}: sample {index}");
        }
        // The third sample is a tie whose first class is not its label.
        assert!(output.fooled[2] && !output.attacked[2], "{name}");
    }
}

const RADII: [(Norm, f32); 4] = [(Norm::Linf, 0.2), (Norm::L2, 0.5), (Norm::L1, 1.0), (Norm::L0, 2.0)];

#[test]
fn every_attack_handles_extreme_logits() {
    // At 3e38, differences of logits are infinite. At 1e-38, they are at the end of the normal range.
    for scale in [0.0, 1e-38, 1e-30, 1.0, 1e30, -1e30, 3e38] {
        for (norm, epsilon) in RADII {
            // With scale 0 all logits are equal, whatever the image is; with a negative scale the darkest pixel wins.
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            if scale < 0.0 {
                let victim = pixels(scale);
                for attack in attacks(threat, 4, 7) {
                    let samples = samples(&[[0.25, 0.5, 0.75, 1.0]], &[0]);
                    let output = attack.run(&victim, &samples).unwrap();
                    let predicted = predictions(&victim, output.adversarial);
                    assert_eq!(output.predictions, predicted, "{} {threat}", attack.name());
                }
            } else {
                keep_to_their_rules(attacks(threat, 4, 7), &pixels(scale), &format!("logits of {scale}"));
            }
        }
    }
}

/// A network with one hidden layer, whose matrices are multiples of the unit matrix: the logits are the pixels, multiplied by
/// both factors.
fn network(factors: [f32; 2]) -> impl Fn(Tensor<4>) -> Tensor<2> + Sync {
    let [hidden, output] = factors.map(|factor| Tensor::<2>::eye(4, &Device::flex()) * factor);
    move |images| relu(images.flatten::<2>(1, 3).matmul(hidden.clone())).matmul(output.clone())
}

/// Every registered attack that supports the norm, with few steps.
fn registered(threat: ThreatModel) -> Vec<Box<dyn Attack>> {
    let supported = RegisteredAttack::all().filter(|attack| attack.norms().contains(&threat.norm()));
    let build = |attack: &RegisteredAttack| {
        let settings = attack.settings().iter().fold(AttackSettings::new(threat), |all, one| match one {
            Setting::Steps => all.with_steps(4),
            Setting::Queries => all.with_queries(12),
            _ => all,
        });
        attack.build(&settings).unwrap()
    };
    supported.map(build).collect()
}

#[test]
fn every_attack_handles_weights_that_are_zero_or_denormal() {
    // 1e-40 is below the normal range of f32, and so are the logits and gradients of the last network.
    for factors in [[0.0, 0.0], [1e-40, 1e-40], [1e-40, 1.0]] {
        for (norm, epsilon) in RADII {
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            keep_to_their_rules(registered(threat), &network(factors), &format!("weights of {factors:?}"));
        }
    }
}

#[test]
fn equal_logits_are_never_fooled_if_the_label_comes_first() {
    let constant = pixels(0.0);
    for (norm, epsilon) in RADII {
        let threat = ThreatModel::new(norm, epsilon).unwrap();
        for attack in attacks(threat, 4, 7) {
            let output = attack.run(&constant, &samples(&[[0.75, 0.5, 0.25, 0.0]; 2], &[0, 1])).unwrap();
            let name = format!("{} {threat}", attack.name());
            assert_eq!(output.fooled, [false, true], "{name}");
            assert_eq!(output.verification.claimed, 0, "{name}");
        }
    }
}

/// Attacks that maximise a difference of logits are not affected by the scale of the logits. In the probabilities of such
/// logits, and so in the cross-entropy, nothing is left of the gradient.
#[test]
fn large_logits_hide_nothing_from_margins() {
    let samples = samples(&[[0.75, 0.5, 0.25, 0.0]], &[0]);
    let threat = |(norm, epsilon)| ThreatModel::new(norm, epsilon).unwrap();
    let mut all: Vec<Box<dyn Attack>> = Vec::new();
    for radius in RADII {
        let fmn = FmnConfig::new(threat(radius)).with_overshoot(1.05);
        all.push(Box::new(fmn.build().unwrap()));
    }
    for radius in &RADII[..3] {
        let threat = threat(*radius);
        let pgd = PgdConfig::new(threat, 10, threat.epsilon() / 4.0).with_loss(Loss::Margin);
        all.push(Box::new(pgd.build().unwrap()));
        // Restarts, because a random start at which the third class is second is a trap: the attack then raises that class to
        // the end.
        let apgd = ApgdConfig::new(threat).with_loss(Loss::Dlr).with_restarts(5);
        all.push(Box::new(apgd.build().unwrap()));
        all.push(Box::new(FabConfig::new(threat).build().unwrap()));
    }
    all.push(Box::new(SigmaZeroConfig::new(threat(RADII[3])).build().unwrap()));
    // Powers of two, so that the logits are not rounded.
    for scale in [1.0, 2.0_f32.powi(60), 2.0_f32.powi(100)] {
        for attack in &all {
            let output = attack.run(&pixels(scale), &samples).unwrap();
            assert_eq!(output.fooled, [true], "{} {}, {scale}", attack.name(), attack.threat_model());
        }
    }
    let pgd = PgdConfig::new(threat(RADII[0]), 10, 0.05).build().unwrap();
    assert_eq!(pgd.run(&pixels(1.0), &samples).unwrap().fooled, [true]);
    let saturated = pgd.run(&pixels(2.0_f32.powi(100)), &samples).unwrap();
    assert_eq!((saturated.fooled, host(saturated.adversarial)), (vec![false], samples.image(0).to_vec()));
}

/// The square of the gradient is beyond single precision, in which `perturb` computes on the device.
#[test]
fn gradients_whose_squares_overflow_move_no_training_image_in_l2() {
    let samples = samples(&[[0.75, 0.5, 0.25, 0.0]], &[0]);
    let pgd = PgdConfig::new(ThreatModel::new(Norm::L2, 0.5).unwrap(), 10, 0.125).with_loss(Loss::Margin);
    let pgd = pgd.build().unwrap();
    for (scale, moves) in [(1.0, true), (1e18, true), (1e20, false)] {
        assert_eq!(pgd.run(&pixels(scale), &samples).unwrap().fooled, [true], "{scale}");
        let batch = TensorData::new(samples.image(0).to_vec(), [1, 1, 2, 2]);
        let batch = Tensor::from_data(batch, samples.device());
        let found = host(pgd.perturb(&pixels(scale), batch, &[0], &[0]).unwrap());
        assert_eq!(found != samples.image(0), moves, "{scale}: {found:?}");
    }
}

#[test]
fn every_attack_handles_extreme_radii() {
    let radii: [(Norm, &[f32]); 4] = [
        (Norm::Linf, &[0.0, 1e-12, 1.0]),
        (Norm::L2, &[0.0, 1e-12, 1.0, 1e20, f32::MAX]),
        (Norm::L1, &[0.0, 1e-12, 1.0, 1e20, f32::MAX]),
        (Norm::L0, &[0.0, 1.0, 1e20, f32::MAX]),
    ];
    for (norm, radii) in radii {
        for &epsilon in radii {
            let threat = ThreatModel::new(norm, epsilon).unwrap();
            keep_to_their_rules(attacks(threat, 4, 7), &pixels(1.0), "extreme radius");
        }
    }
}

#[test]
fn radii_that_are_none_are_refused() {
    for norm in Norm::ALL {
        for epsilon in [-1e-12, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = ThreatModel::new(norm, epsilon).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("epsilon is {epsilon}: give a finite radius")),
                "{norm}: {error}"
            );
        }
    }
}

#[test]
fn every_step_size_stays_within_the_threat_model() {
    let samples = hard_samples();
    for (norm, epsilon) in &RADII[..3] {
        let threat = ThreatModel::new(*norm, *epsilon).unwrap();
        for step_size in [0.0, 1e-45, 1e-12, 1.0, f32::MAX] {
            let pgd = PgdConfig::new(threat, 3, step_size).with_loss(Loss::Margin).build().unwrap();
            let images = samples.len();
            let clean: Vec<f32> = (0..images).flat_map(|index| samples.image(index)).copied().collect();
            let batch =
                Tensor::from_data(TensorData::new(clean.clone(), [images, 1, 2, 2]), samples.device());
            let trained = pgd.perturb(&pixels(1.0), batch, samples.labels(), samples.ids()).unwrap();
            let attacked = pgd.run(&pixels(1.0), &samples).unwrap().adversarial;
            for found in [host(trained), host(attacked)] {
                for (point, image) in found.chunks(4).zip(clean.chunks(4)) {
                    assert!(
                        threat.contains(image, point),
                        "{threat} {step_size}: {image:?} became {point:?}"
                    );
                }
                if step_size == 0.0 {
                    assert_eq!(found, clean, "{threat}");
                }
            }
        }
    }
}

/// A source of one image.
struct One([f32; 2]);

impl SampleSource for One {
    fn len(&self) -> usize {
        1
    }

    fn image_shape(&self) -> [usize; 3] {
        [1, 1, 2]
    }

    fn label(&self, _index: usize) -> usize {
        0
    }

    fn load(&self, _index: usize) -> Result<Vec<f32>, SourceError> {
        Ok(self.0.to_vec())
    }
}

#[test]
fn pixels_that_are_none_are_refused_and_all_others_are_kept() {
    let device = Device::flex();
    let read = |image: [f32; 2]| {
        let memory = Samples::new(Tensor::from_floats([[[image]]], &device), vec![0]);
        let source = One(image);
        let stream = SampleStream::new(&source, &device).unwrap().load(0).map(|image| image.to_vec());
        [memory.map(|samples| samples.image(0).to_vec()), stream]
    };
    for (value, expected) in [
        (f32::NAN, "a pixel that is not a number"),
        (f32::INFINITY, "[0.5, inf]"),
        (f32::NEG_INFINITY, "[-inf, 0.5]"),
        (-1e-45, "must lie in [0, 1]"),
        (1.000_000_1, "[0.5, 1.0000001]"),
        (255.0, "[0.5, 255]"),
    ] {
        for found in read([0.5, value]) {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(expected), "{value}: {error}");
        }
    }
    for image in [[1e-45, 1.0], [f32::MIN_POSITIVE, 1e-40], [0.0, -0.0], [0.0; 2], [1.0; 2]] {
        for found in read(image) {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found.unwrap()), bits(&image), "{image:?}");
        }
    }
}

/// One sample, and so only one of four classes.
#[test]
fn a_single_sample_is_evaluated() {
    for (norm, image) in [(Norm::Linf, [0.75, 0.5, 0.25, 0.0]), (Norm::L2, [0.5; 4]), (Norm::L1, [0.0; 4])] {
        for (label, correct) in [(0, 1), (3, 0)] {
            let samples = samples(&[image], &[label]).with_batch_size(1).unwrap();
            let report = autoattack(norm).evaluate(&pixels(1.0), &samples, &mut Silent).unwrap().report;
            assert_eq!((report.clean.correct, report.clean.total), (correct, 1), "{norm}");
            assert_eq!((report.classes.len(), report.classes[0].class), (1, label), "{norm}");
            let [low, high] = report.interval;
            assert!(0.0 <= low && low < high && high <= 1.0, "{norm}: {low} {high}");
        }
    }
}

#[test]
fn logits_that_overflow_in_half_precision_are_an_error() {
    let images = [[0.75, 0.5, 0.25, 0.0]];
    let samples = samples(&images, &[0]);
    // 750 000 is beyond f16, and no intermediate result of the other precisions is.
    let large = |images: Tensor<4>| images.flatten::<2>(1, 3) * 1000.0 * 1000.0;
    let threat = ThreatModel::new(Norm::Linf, 0.2).unwrap();
    let pgd = PgdConfig::new(threat, 3, 0.1).with_loss(Loss::Margin).build().unwrap();
    for precision in Precision::ALL {
        let half = AtPrecision::new(large, precision);
        let surrogate = SurrogateGradients::new(large, AtPrecision::new(large, precision));
        for outcome in [pgd.run(&half, &samples), pgd.run(&surrogate, &samples)] {
            match (precision, outcome) {
                (Precision::F16, Err(error @ AttackError::Logits { sample: 0, .. })) => {
                    let message = error.to_string();
                    assert!(message.contains("65504") && message.contains("bf16"), "{message}");
                }
                (Precision::F32 | Precision::Bf16, Ok(output)) => {
                    assert_eq!(output.fooled, [true], "{precision}")
                }
                (_, outcome) => panic!("{precision}: {outcome:?}"),
            }
        }
    }
    // In training, the logits stay on the device. The gradient is NaN, and the image stays where it is.
    let half = AtPrecision::new(large, Precision::F16);
    let fgsm = PgdConfig::fgsm(threat).build().unwrap();
    let batch = Tensor::<4>::from_data(TensorData::new(images.concat(), [1, 1, 2, 2]), samples.device());
    assert_eq!(host(fgsm.perturb(&half, batch, &[0], &[0]).unwrap()), images.concat());
}

#[test]
fn a_sigma_whose_square_underflows_is_refused() {
    let config = SigmaZeroConfig::new(ThreatModel::new(Norm::L0, 2.0).unwrap());
    for sigma in [0.0, 1e-30, f32::NAN] {
        let error = config.clone().with_sigma(sigma).build().unwrap_err().to_string();
        assert!(error.contains(&format!("sigma is {sigma}: it must lie in [1e-18, ∞)")), "{error}");
    }
    let smallest = config.with_sigma(1e-18).build().unwrap();
    let output = smallest.run(&pixels(1.0), &samples(&[[0.75, 0.5, 0.25, 0.0]], &[0])).unwrap();
    assert!(host(output.adversarial).iter().all(|pixel| (0.0..=1.0).contains(pixel)));
}
