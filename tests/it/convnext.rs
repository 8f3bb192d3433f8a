//! ConvNeXt-T, which has no batch normalisation: ordinary and adversarial fine-tuning, an attack, and why the two-wing
//! methods refuse it.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_twins::attack::{ApgdConfig, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel};
use burn_twins::data::{ImageDataset, TensorDataset, collate};
use burn_twins::models::{Architecture, ModelConfig, Net};
use burn_twins::train::{
    AdversaryConfig, AutoLoraConfig, Method, ProgressDisplay, Schedule, TrainConfig, TrainError, Trained,
    Trainer, ValidationConfig, Weights,
};

/// Eight dark and eight light images of 32 × 32 pixels, each pixel a little different.
fn shades() -> Arc<dyn ImageDataset> {
    let shape = [3, 32, 32];
    let pixels = (0..16 * 3 * 32 * 32_usize).map(|index| {
        let noise = ((index * 2_654_435_761) >> 7) % 64;
        let shade = if (index / (3 * 32 * 32)) % 2 == 0 { 64 } else { 128 };
        u8::try_from(shade + noise).unwrap()
    });
    let labels = (0..16).map(|index| index % 2).collect();
    Arc::new(TensorDataset::from_bytes(shape, pixels.collect(), labels).unwrap())
}

fn fit(net: Net, method: Method, epochs: usize) -> Result<Trained<Net>, TrainError> {
    let config = TrainConfig {
        validation: ValidationConfig::none(),
        ..TrainConfig::new(method)
            .with_epochs(epochs)
            .with_batch_size(8)
            .with_learning_rate(0.01)
            .with_schedule(Schedule::Constant)
            .with_adversary(AdversaryConfig::new(Norm::Linf, 4.0 / 255.0, 1, 4.0 / 255.0))
            .with_auto_lora(AutoLoraConfig::new(4))
    };
    Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden).fit(net, shades())
}

fn net() -> Net {
    let config = ModelConfig::new(Architecture::ConvNeXtTiny, 2).with_image_size([32, 32]);
    config.init(&Device::flex()).unwrap()
}

#[test]
fn it_is_fine_tuned_and_attacked() {
    let trained = fit(net(), Method::Standard, 2).unwrap();
    let losses: Vec<f64> = trained.history.iter().map(|epoch| epoch.loss).collect();
    println!("losses {losses:?}");
    assert!(losses[1] < 0.5 * losses[0], "{losses:?}");

    let net = trained.best.valid();
    let data = shades();
    let batch = collate(data.as_ref(), &(0..16).collect::<Vec<_>>(), None, &Device::flex()).unwrap();
    let samples = Samples::new(batch.images, batch.labels).unwrap();
    // The two shades are 64 levels apart, so that every image can be made one of the other class. With a ball of 40 levels,
    // 14 of the 16 were seen to be broken.
    let threat = ThreatModel::new(Norm::Linf, 64.0 / 255.0).unwrap();
    let apgd = ApgdConfig::new(threat).with_steps(10).build().unwrap();
    let evaluation = RobustnessEvaluation::new(vec![Box::new(apgd)]).unwrap();
    let victim = |images: Tensor<4>| net.forward(images);
    let report = evaluation.evaluate(&victim, &samples, &mut Silent).unwrap().report;
    println!("{report}");
    assert_eq!((report.clean.correct, report.robust.correct), (16, 0), "{report}");
}

#[test]
fn every_method_with_one_wing_trains_it() {
    let start = net();
    let before = Weights::of(&start);
    for method in Method::ALL.into_iter().filter(|method| !method.is_two_wing()) {
        let trained = fit(start.clone(), method, 1).unwrap_or_else(|error| panic!("{method}: {error}"));
        assert!(trained.history[0].loss.is_finite(), "{method}");
        assert!(Weights::of(&trained.last) != before, "{method} changed nothing");
    }
}

#[test]
fn the_two_wing_methods_say_why_they_refuse_it() {
    for method in [Method::TwinsAt, Method::TwinsTrades] {
        let message = fit(net(), method, 1).err().unwrap().to_string();
        assert!(
            message.contains("batch-normalisation weights and statistics")
                && message.contains("such as ConvNeXt")
                && message.ends_with(
                    "use a method with one wing: standard, at, frozen-at, trades, mart, auto-lora"
                ),
            "{message}"
        );
    }
}
