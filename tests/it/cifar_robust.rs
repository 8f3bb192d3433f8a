//! A real adversarially trained CIFAR-10 ResNet-20 with projection shortcuts and names of its own: accuracy on clean
//! images, under PGD and under AutoAttack, against the reference's counts in PyTorch 2.6.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_twins::attack::{
    AutoAttackConfig, Norm, PgdConfig, Report, RobustnessEvaluation, Samples, Silent, ThreatModel, Version,
    accuracy,
};
use burn_twins::data::{ImageDataset, collate};
use burn_twins::models::{Architecture, ImportOptions, ModelConfig, Net, Shortcuts, load_pretrained};

/// The network and the 10 000 test images; `None` where `TWINS_SHARED` is not set.
fn load() -> Option<(Net, Arc<dyn ImageDataset>)> {
    let weights = twins_testing::shared("models/cifar_resnet20_pgd.pth")?;
    let images = crate::cifar_images::open()?;
    let config = ModelConfig::new(Architecture::ResNet20, 10);
    let (net, report) = load_pretrained(&config, &weights, &ImportOptions::new(), &Device::flex()).unwrap();
    assert_eq!(net.config().shortcuts(), Some(Shortcuts::Projected));
    // 97 entries of the padded form, and two projections of five entries.
    assert_eq!(report.mapped.len(), 107, "{report}");
    Some((net.valid(), images))
}

/// Every `stride`-th image.
fn every(stride: usize, images: &dyn ImageDataset) -> Samples {
    let ids: Vec<usize> = (0..images.len()).step_by(stride).collect();
    let batch = collate(images, &ids, None, &Device::flex()).unwrap();
    Samples::new(batch.images, batch.labels).unwrap().with_ids(batch.ids).unwrap()
}

fn linf(levels: f32) -> ThreatModel {
    ThreatModel::new(Norm::Linf, levels / 255.0).unwrap()
}

fn evaluate(net: &Net, samples: &Samples, evaluation: RobustnessEvaluation) -> Report {
    let victim = |images: Tensor<4>| net.forward(images);
    let report = evaluation.evaluate(&victim, samples, &mut Silent).unwrap().report;
    println!("{report}");
    report
}

/// PGD-10 with a quarter of epsilon as its step, on every tenth image.
fn pgd(net: &Net, images: &dyn ImageDataset, levels: f32) -> Report {
    let pgd = PgdConfig::new(linf(levels), 10, levels / 255.0 / 4.0).build().unwrap();
    evaluate(net, &every(10, images), RobustnessEvaluation::new(vec![Box::new(pgd)]).unwrap())
}

// Rounding and the JPEG decoder, which differs from Pillow's by up to 5 levels (0.3 on average), turn a few images near a
// decision boundary. Found: 798, 622 and 418.
const TURNED: usize = 5;

#[test]
fn clean_and_robust_accuracy_are_those_of_pytorch() {
    let Some((net, images)) = load() else { return };
    let report = pgd(&net, images.as_ref(), 4.0);
    assert!(report.clean.correct.abs_diff(801) <= TURNED, "{:?}", report.clean);
    assert!(report.robust.correct.abs_diff(419) <= TURNED, "{:?}", report.robust);
}

#[test]
fn clean_accuracy_on_all_images_and_a_smaller_ball() {
    let Some((net, images)) = load() else { return };
    let victim = |images: Tensor<4>| net.forward(images);
    let clean = (accuracy(&victim, &every(1, images.as_ref())).unwrap() * 10_000.0).round() as usize;
    // As for the other ResNet-20, 0.1 %. Found: 8 283.
    assert!(clean.abs_diff(8283) <= 10, "{clean}");
    let report = pgd(&net, images.as_ref(), 2.0);
    assert!(report.robust.correct.abs_diff(623) <= TURNED, "{:?}", report.robust);
}

#[test]
#[ignore = "six minutes on two cores"]
fn autoattack_agrees_with_the_reference() {
    let Some((net, images)) = load() else { return };
    let autoattack =
        RobustnessEvaluation::autoattack(AutoAttackConfig::new(linf(4.0), Version::Standard)).unwrap();
    let report = evaluate(&net, &every(50, images.as_ref()), autoattack);
    // The reference: 82.0 % clean, 43.5 % after APGD-CE, 42.5 % after APGD-T, FAB-T and Square. Its seeds differ by 2 points
    // in the first stage on so few images; the result may be 1 point higher, and lower by as much as the stages. Found: 164
    // images, then 87, 84, 84 and 84.
    assert!(report.clean.correct.abs_diff(164) <= 2, "{:?}", report.clean);
    for (stage, expected) in report.stages.iter().zip([87usize, 85, 85, 85]) {
        assert!(stage.robust.abs_diff(expected) <= 4, "{}: {}", stage.attack, stage.robust);
    }
    assert!(report.robust.correct <= 87, "{:?}", report.robust);
    // The reference ran 677 807 images through the model, 170 632 of them with gradient.
    assert!(report.forwards <= 677_807, "{}", report.forwards);
    assert!(report.backwards <= 170_632, "{}", report.backwards);
}
