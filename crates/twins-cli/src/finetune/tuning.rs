//! One training and its measurement.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::data::ImageDataset;
use burn_twins::models::Net;
use burn_twins::train::{
    Ended, Evaluation, EvaluationProtocol, ExistingRun, TrainConfig, TrainError, Trained, Trainer,
    evaluate_on,
};

use crate::finetune::cli::Cli;
use crate::finetune::shell::resume_command;
use crate::support::parts::Parts;

/// Steps of the PGD that measures robust accuracy on the test images.
const TEST_STEPS: usize = 20;

/// How the best checkpoint is chosen, in words; `own` says that the data has a validation part.
pub fn validation(config: &TrainConfig, own: bool) -> Result<String, TrainError> {
    let part = match (config.validation.fraction, own) {
        (Some(_), false) => "",
        (Some(_), true) => ", on the data's own validation part instead of a split of the training part",
        (None, false) => {
            return Ok("none, no images are held out: the last checkpoint is the result".to_owned());
        }
        (None, true) => {
            return Ok(
                "none, the data's validation part is not used: the last checkpoint is the result".to_owned()
            );
        }
    };
    Ok(format!("{}{part}", config.validation_protocol()?))
}

/// How robust accuracy is measured on the test images: PGD-20 as published, within the ball of the validation.
pub fn test_protocol(config: &TrainConfig) -> Result<EvaluationProtocol, TrainError> {
    Ok(EvaluationProtocol::new(config.validation_protocol()?.threat, TEST_STEPS))
}

/// Trains with checkpoints in a folder, one line per epoch.
pub fn fit(
    cli: &Cli,
    config: &TrainConfig,
    net: Net,
    Parts { train, validation: own, .. }: &Parts,
    devices: &[Device],
    folder: &Path,
) -> Result<Trained<Net>, Box<dyn std::error::Error>> {
    let existing = match (cli.resume, cli.force) {
        (true, _) => ExistingRun::Resume,
        (_, true) => ExistingRun::Overwrite,
        _ => ExistingRun::Refuse,
    };
    println!("  validation: {}", validation(config, own.is_some())?);
    let mut trainer = Trainer::new(config.clone())?;
    if let Some(own) = own.as_ref().filter(|_| config.validation.fraction.is_some()) {
        trainer = trainer.with_validation_set(own.clone());
    }
    let trained = trainer
        .with_devices(devices.to_vec())
        .with_run_directory(folder, existing)
        .with_stop_flag(cli.stop.clone())
        .with_observer(|epoch| {
            let validation = match epoch.validation() {
                Some([clean, robust]) => {
                    format!("validation clean {:.1} %, robust {:.1} %", clean.percent(), robust.percent())
                }
                None => "no validation".to_owned(),
            };
            println!(
                "  epoch {:>2}: loss {:.4}, {validation}, {:.0} images/s, {:.1} % of the time waiting for data",
                epoch.epoch,
                epoch.loss,
                epoch.images_per_second,
                100.0 * epoch.waiting_share()
            );
        })
        .fit(net, train.clone())
        .map_err(|error| match error {
            TrainError::RunExists { .. } => format!("{error} (--resume, --force)"),
            _ => error.to_string(),
        })?;
    if let Some(problem) = &trained.fell_back {
        println!("  went on from the checkpoint before the last one: {problem}");
    }
    if trained.ended == Ended::Interrupted {
        let out = folder.parent().expect("the method's folder lies in --out");
        let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
        let command = resume_command(words, out);
        return Err(format!("stopped, with the state saved; continue with\n    {command}").into());
    }
    Ok(trained)
}

/// Clean and robust accuracy on the test images, which nothing before has seen.
pub fn measure(
    net: &Net,
    test: &Arc<dyn ImageDataset>,
    protocol: &EvaluationProtocol,
    devices: &[Device],
) -> Result<Evaluation, TrainError> {
    evaluate_on(net, test, Some(protocol), 100, devices)
}
