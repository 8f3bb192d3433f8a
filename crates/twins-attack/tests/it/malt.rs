//! MALT's choice of targets against the authors' code (see `tests/golden/minimum_norm/README.md`), and what it costs.

use std::sync::Mutex;

use burn::tensor::{Device, Tensor};
use twins_attack::{
    ApgdConfig, Attack, AttackError, Attempt, Criterion, FmnConfig, Model, Norm, PgdConfig, Sample, Targets,
    ThreatModel,
};
use twins_attack_testing::Golden;

/// An attack that records the target of each run and changes nothing.
#[derive(Debug)]
struct Recorder {
    norm: Norm,
    targets: Targets,
    aims: Mutex<Vec<(u64, usize, usize)>>,
}

impl Attack for Recorder {
    fn name(&self) -> String {
        "recorder".to_owned()
    }

    fn threat_model(&self) -> ThreatModel {
        ThreatModel::new(self.norm, 1.0).unwrap()
    }

    fn targets(&self) -> Targets {
        self.targets
    }

    fn restarts(&self) -> usize {
        2
    }

    fn passes(&self, _classes: usize) -> u64 {
        0
    }

    fn attack<'a>(&'a self, sample: Sample<'a>, _model: Model) -> Attempt<'a> {
        self.aims.lock().unwrap().push((sample.id, sample.run, sample.target.unwrap()));
        Box::pin(std::future::ready(Ok(sample.nothing_found())))
    }
}

/// The classes that each image's runs aim at, and how many gradients were computed in all.
fn aims(norm: Norm, targets: Targets) -> Result<(Vec<Vec<usize>>, u64), AttackError> {
    let golden = Golden::read();
    let net = golden.net();
    let recorder = Recorder { norm, targets, aims: Mutex::new(Vec::new()) };
    let output = recorder.run(&|x: Tensor<4>| net.forward(x), &golden.samples())?;
    let mut aims = recorder.aims.into_inner().unwrap();
    aims.sort_unstable();
    let of_image = |image| aims.iter().filter(|(id, ..)| *id == image).map(|(.., class)| *class).collect();
    Ok(((0..8).map(of_image).collect(), output.backwards))
}

#[test]
fn the_order_is_that_of_the_reference_and_is_computed_once_per_sample() {
    let golden = Golden::open("minimum_norm", Device::flex());
    for norm in [Norm::Linf, Norm::L2] {
        let (found, gradients) = aims(norm, Targets::malt()).unwrap();
        for (image, expected) in golden.indices(&format!("malt.{norm}.targets")).chunks(5).enumerate() {
            // Two restarts, each of 5 runs.
            assert_eq!(found[image], [expected, expected].concat(), "{norm}, image {image}");
        }
        // One for each of 5 candidates of 8 images, and the check of the gradient pass on 4 images.
        assert_eq!(gradients, 8 * 5 + 4);
    }
    let (by_logits, gradients) = aims(Norm::Linf, Targets::Top(9)).unwrap();
    for (image, expected) in golden.indices("malt.candidates").chunks(5).enumerate() {
        assert_eq!(by_logits[image][..5], *expected);
    }
    assert_eq!(gradients, 4);
}

#[test]
fn fewer_candidates_and_targets() {
    let golden = Golden::open("minimum_norm", Device::flex());
    let (found, gradients) = aims(Norm::Linf, Targets::Malt { candidates: 3, targets: 2 }).unwrap();
    assert_eq!(gradients, 8 * 3 + 4);
    let (candidates, targets) = (golden.indices("malt.candidates"), golden.indices("malt.linf.targets"));
    for (image, found) in found.iter().enumerate() {
        let likely = &candidates[image * 5..][..3];
        let ordered = targets[image * 5..][..5].iter().filter(|class| likely.contains(class));
        assert_eq!(found[..2], ordered.take(2).copied().collect::<Vec<_>>());
        assert_eq!(found.len(), 4);
    }
}

#[test]
fn apgd_aims_at_the_chosen_classes() {
    let golden = Golden::read();
    let (net, samples) = (golden.net(), golden.samples());
    let victim = |x: Tensor<4>| net.forward(x);
    let threat = ThreatModel::new(Norm::Linf, 0.013).unwrap();
    let config = ApgdConfig::targeted(threat, 9).with_steps(50).with_targets(Targets::malt());
    let any = config.clone().build().unwrap();
    let published = config.with_criterion(Criterion::ClassifiedAsTarget).build().unwrap();
    assert_eq!(any.budget(6), 5 * 51 + 5);
    let [any, published] = [any, published].map(|attack| attack.run(&victim, &samples).unwrap());
    // A point that is classified as a target is misclassified.
    assert!(published.fooled.iter().zip(&any.fooled).all(|(published, any)| any >= published));
    assert!(published.fooled.contains(&true) && any.fooled.contains(&false));
}

#[test]
fn what_cannot_be_chosen_is_named() {
    let config = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1).unwrap(), 2, 0.05);
    let message = |targets| config.clone().with_targets(targets).build().unwrap_err().to_string();
    assert!(message(Targets::Malt { candidates: 3, targets: 0 }).contains("0 targets"));
    assert!(message(Targets::Malt { candidates: 0, targets: 3 }).contains("0 candidates"));
    let l0 = ThreatModel::new(Norm::L0, 5.0).unwrap();
    let text = FmnConfig::new(l0).with_targets(Targets::malt()).build().unwrap_err().to_string();
    assert!(text.contains("FMN with MALT's choice of targets does not support L0"), "{text}");
    let text = aims(Norm::L0, Targets::malt()).unwrap_err().to_string();
    assert!(text.contains("recorder with MALT") && text.contains("Targets::Top"), "{text}");
    let pgd = config.with_targets(Targets::malt()).build().unwrap();
    let images = Tensor::full([1, 1, 1, 3], 0.5, &Device::flex());
    let text = pgd.perturb(&|x: Tensor<4>| x.flatten::<2>(1, 3), images, &[0], &[0]).unwrap_err().to_string();
    assert!(text.contains("Pgd::perturb"), "{text}");
}
