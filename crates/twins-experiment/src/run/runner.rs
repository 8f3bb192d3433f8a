use std::path::Path;
use std::time::Instant;

use twins_attack::AttackError;
use twins_models::{ModelCard, Net, SavedCheckpoint, load_model, save_model};
use twins_report::{Provenance, Report, RunRecord, RunStatus, Score, ScoreKind, TestedCheckpoint};
use twins_train::{
    Accuracy, Ended, EpochMetrics, Evaluation, ExistingRun, ObserverKind, TrainConfig, Trained, Trainer,
};

use super::directory::{RunDirectory, remove};
use super::frozen_wing;
use super::held_out::{describe_held_out, warn_of_ungrouped_test};
use super::identity::Identity;
use super::measure::{Measurement, TestAccuracies, warnings};
use super::memory::check_memory;
use super::{Outcome, RunOptions};
use crate::data::Parts;
use crate::error::ExperimentError;
use crate::experiment::Experiment;
use crate::model::InitialNet;
use crate::notice::{Notice, Notify};
use crate::settings::{ExperimentConfig, LastCheckpoint, TestMeasurement};

/// The evaluation for a training that was not tested.
const UNTESTED: Evaluation = Evaluation { clean: Accuracy { correct: 0, total: 0 }, robust: None };

impl Experiment {
    /// Trains, saves the best model, evaluates it on the test images, and records everything in the directory:
    ///
    /// | file | content |
    /// |---|---|
    /// | `experiment.json` | the settings, and the data and weights that they resolved to |
    /// | `config.json`, `metrics.jsonl`, `last.safetensors`, `best.safetensors` | the files of the trainer |
    /// | `model.safetensors` | the best model, for users |
    /// | `result.json` | the record of the run: scores, curves, provenance |
    /// | `report.html` | the report, rewritten after every epoch |
    /// | `log/` | the values of every step and epoch, in the formats of [`LogConfig`](crate::LogConfig) |
    ///
    /// A resumed run continues from its last checkpoint. A run that has finished with these settings is not run again.
    ///
    /// # Errors
    ///
    /// Errors of data, weights, devices or the directory, and a failed training. Files that were saved before are kept.
    pub fn run(&self, directory: impl AsRef<Path>, options: RunOptions) -> Result<Outcome, ExperimentError> {
        let directory = RunDirectory::new(directory.as_ref());
        directory.check(options.existing, self.config().model.weights.as_deref())?;
        let _lock = directory.lock()?;
        let outcome = Run { experiment: self, directory: &directory, options: &options }.run();
        if outcome.is_err() {
            directory.remove_unused();
        }
        outcome
    }

    /// The settings with which a resumed run continues: those of the experiment, with the schedule of the run in the directory unless
    /// another schedule was chosen.
    ///
    /// # Errors
    ///
    /// [`ExperimentError::UnknownRun`] if the settings of the run cannot be read.
    pub fn resumed_settings(&self, directory: &RunDirectory) -> Result<ExperimentConfig, ExperimentError> {
        let recorded = directory.resumed(ExistingRun::Resume)?;
        Ok(self.with_schedule_of(recorded.as_ref()))
    }

    /// Returns the settings with the schedule of the resumed run, unless another schedule was chosen. Otherwise, a larger number of epochs
    /// would change the milestones that are derived from it.
    fn with_schedule_of(&self, recorded: Option<&Identity>) -> ExperimentConfig {
        let mut settings = self.config().clone();
        if let Some(recorded) = recorded
            && self.sources().of("training.schedule").is_none()
        {
            settings.training.schedule = recorded.settings.training.schedule.clone();
        }
        settings
    }
}

/// One run of an experiment.
struct Run<'a> {
    experiment: &'a Experiment,
    directory: &'a RunDirectory,
    options: &'a RunOptions,
}

impl Run<'_> {
    fn run(&self) -> Result<Outcome, ExperimentError> {
        let begin = Instant::now();
        let recorded = self.directory.resumed(self.options.existing)?;
        let settings = &self.experiment.with_schedule_of(recorded.as_ref());
        let devices = settings.compute.open()?;
        let notify = &self.options.notify;
        let parts = Parts::open(&settings.data, notify)?;
        let held_out = match &parts.validation {
            Some(_) => None,
            None => describe_held_out(&settings.training.validation, parts.train.as_ref())?,
        };
        let seed = settings.training.seed;
        let initial = InitialNet::new(&settings.model, &parts, seed, &devices[0], notify)?;
        let identity = Identity::new(settings, &parts, &initial)?;
        self.directory.begin(&identity, recorded.as_ref(), self.options.existing)?;
        self.options.replaced.iter().try_for_each(RunDirectory::delete)?;
        if let Some(outcome) = self.finished(&identity, recorded.as_ref(), &devices[0])? {
            return Ok(outcome);
        }
        let config = &settings.training;
        self.progress(initial.head.to_string());
        let net = initial.head.apply(initial.net, parts.train.classes().len(), seed)?;
        check_memory(&settings.compute, config, &net, parts.train.as_ref(), &devices[0])?;

        let mut record = self.new_record(config, &parts, &net, &identity)?;
        if let Some(held_out) = &held_out {
            record = record.with_fact("validation images", held_out);
        }
        if let Some(before) = self.recorded_run() {
            let Provenance { started, seconds, .. } = before.provenance;
            (record.provenance.started, record.provenance.seconds) = (started, seconds);
            record = record.with_history(before.history);
        }
        let seconds_before = record.provenance.seconds;
        record.write(self.directory.path())?;
        self.options.outdated.iter().try_for_each(|file| remove(file))?;
        self.progress(format!(
            "training on {} with {}: {} images, {} epochs",
            settings.data.source,
            config.method,
            parts.train.len(),
            config.epochs
        ));
        self.progress(format!("  validation: {}", self.experiment.describe_validation()?));
        if let Some(held_out) = held_out {
            self.progress(format!("  {held_out}"));
        }
        let ungrouped = parts.held_out.as_ref();
        if let Some(warning) =
            ungrouped.and_then(|_| warn_of_ungrouped_test(&config.validation, &settings.data.source))
        {
            notify(Notice::Warning(warning));
        }
        let trained = self.train(config, net, &parts, &devices, &record, seconds_before)?;
        record = record.with_history(trained.history.clone());
        (record.status, record.best) = (trained.ended.into(), trained.best_epoch);
        if let Some(problem) = &trained.damaged_checkpoint {
            self.progress(format!("  resumed from the checkpoint before the last one: {problem}"));
        }
        let mut test = TestAccuracies { best: UNTESTED, last: None };
        if trained.ended != Ended::Interrupted {
            let mut measured = record.clone();
            match self.measure(&trained, &parts, &devices, &mut measured) {
                Ok(accuracies) => (record, test) = (measured, accuracies),
                // The training is complete and saved. A resumed run is measured from the beginning.
                Err(ExperimentError::Attack(AttackError::Stopped)) => record.status = RunStatus::Interrupted,
                Err(error) => return Err(error),
            }
        }
        record.provenance.seconds = seconds_before + begin.elapsed().as_secs_f64();
        record.write(self.directory.path())?;
        write_report(self.directory, self.options)?;
        Ok(Outcome {
            record,
            model: trained.best,
            test: test.best,
            last: test.last,
            inputs: identity.resolved,
            settings: identity.settings,
        })
    }

    /// Returns the outcome of a finished run.
    fn finished(
        &self,
        identity: &Identity,
        recorded: Option<&Identity>,
        device: &burn::tensor::Device,
    ) -> Result<Option<Outcome>, ExperimentError> {
        if !recorded.is_some_and(|recorded| identity.is_same_run(recorded))
            || !self.directory.model().exists()
        {
            return Ok(None);
        }
        let Ok(record) = RunRecord::read(self.directory.path()) else { return Ok(None) };
        if !record.status.is_finished() {
            return Ok(None);
        }
        let config = &self.experiment.config().evaluation;
        let last = evaluation_of(&record.last_scores);
        let test = match (evaluation_of(&record.scores), config.test) {
            (Some(_), _) if config.last != LastCheckpoint::Skipped && last.is_none() => return Ok(None),
            (Some(test), _) => test,
            (None, TestMeasurement::Skipped) => UNTESTED,
            (None, TestMeasurement::Measured) => return Ok(None),
        };
        let (model, _) = load_model(self.directory.model(), device)?;
        self.progress(format!("{} has finished before", self.directory.path().display()));
        write_report(self.directory, self.options)?;
        Ok(Some(Outcome {
            record,
            model,
            test,
            last,
            inputs: identity.resolved.clone(),
            settings: identity.settings.clone(),
        }))
    }

    /// The record of the resumed run.
    fn recorded_run(&self) -> Option<RunRecord> {
        match self.options.existing {
            ExistingRun::Resume => RunRecord::read(self.directory.path()).ok(),
            ExistingRun::Refuse | ExistingRun::Overwrite => None,
        }
    }

    fn new_record(
        &self,
        config: &TrainConfig,
        parts: &Parts,
        net: &Net,
        identity: &Identity,
    ) -> Result<RunRecord, ExperimentError> {
        let settings = self.experiment.config();
        let provenance = Provenance::starting_now(config.seed)
            .with_devices(vec![settings.compute.names()])
            .with_command(self.options.command.as_str());
        let weights = settings.model.weights.as_ref().map(|weights| weights.display().to_string());
        let weights = weights.unwrap_or_else(|| "none: drawn from the seed".to_owned());
        let name = self.options.name.as_deref().unwrap_or(config.method.name());
        let record = RunRecord::new(name, config, provenance)?
            .with_fact("data", &settings.data.source)
            .with_fact("images", parts.describe(&config.validation))
            .with_fact("architecture", net.architecture())
            .with_fact("initial weights", weights)
            .with_fact("head", &identity.resolved.head)
            .with_fact("settings", self.experiment.sources())
            .with_classes(parts.train.classes());
        Ok(record)
    }

    fn train(
        &self,
        config: &TrainConfig,
        net: Net,
        parts: &Parts,
        devices: &[burn::tensor::Device],
        record: &RunRecord,
        seconds_before: f64,
    ) -> Result<Trained<Net>, ExperimentError> {
        let begin = Instant::now();
        let (notify, directory, options) =
            (self.options.notify.clone(), self.directory.clone(), self.options.clone());
        let mut record = record.clone();
        let (settings, classes, mut warned) = (config.clone(), parts.train.classes().len(), false);
        let mut trainer = Trainer::new(config.clone())?;
        if let Some(own) = parts.validation.as_ref().filter(|_| config.validation.fraction.is_some()) {
            trainer = trainer.with_validation_set(own.clone());
        }
        // Each format once, because two observers of a kind would write to the same files.
        let formats = &self.experiment.config().log.formats;
        for format in ObserverKind::ALL.into_iter().filter(|kind| formats.contains(kind)) {
            trainer = trainer.with_observer(format.observer(self.directory.log()));
        }
        let trained = trainer
            .with_devices(devices.to_vec())
            .with_run_directory(self.directory.path(), ExistingRun::Resume)
            .with_stop_flag(self.options.stop.clone())
            .with_observer(move |epoch: &EpochMetrics| {
                notify(Notice::Progress(describe_epoch(epoch)));
                if let (Some(warning), false) = (frozen_wing::warning(epoch, &settings, classes), warned) {
                    warned = true;
                    notify(Notice::Warning(warning));
                }
                record.add_epoch(epoch.clone());
                record.provenance.seconds = seconds_before + begin.elapsed().as_secs_f64();
                // A failure to write the record does not end the training; the trainer reports a full disk itself.
                let written = record.write(directory.path()).map_err(ExperimentError::from);
                if let Err(error) = written.and_then(|()| write_report(&directory, &options)) {
                    notify(Notice::Warning(error.to_string()));
                }
            })
            .fit(net, parts.train.clone())?;
        Ok(trained)
    }

    fn measure(
        &self,
        trained: &Trained<Net>,
        parts: &Parts,
        devices: &[burn::tensor::Device],
        record: &mut RunRecord,
    ) -> Result<TestAccuracies, ExperimentError> {
        let settings = self.experiment.config();
        let protocol = self.experiment.test_protocol()?;
        let measurement = Measurement {
            config: &settings.evaluation,
            protocol: &protocol,
            seed: settings.training.seed,
            averages: settings.training.ema_decay.is_some(),
            test: &parts.test,
            devices,
            stop: &self.options.stop,
        };
        let (saved, tested) = match (trained.best_epoch, settings.training.ema_decay) {
            (Some(_), _) => (SavedCheckpoint::Best, TestedCheckpoint::Best),
            (None, Some(_)) => (SavedCheckpoint::Averaged, TestedCheckpoint::Averaged),
            (None, None) => (SavedCheckpoint::Last, TestedCheckpoint::Last),
        };
        let card = ModelCard::new(&trained.best, parts.train.classes().to_vec())?
            .with_held_out(parts.held_out.clone())
            .with_checkpoint(Some(saved))
            .with_preprocessing(settings.data.recorded_preprocessing());
        save_model(self.directory.model(), &trained.best, &card)?;
        if settings.evaluation.test == TestMeasurement::Skipped {
            return Ok(TestAccuracies { best: UNTESTED, last: None });
        }
        record.checkpoint = Some(tested);
        let begin = Instant::now();
        let test = measurement.checkpoints(trained, record)?;
        for warning in warnings(record) {
            self.options.notify.as_ref()(Notice::Warning(warning));
        }
        measurement.examine(trained, record)?;
        self.progress(format!("  measured on the test images in {:.1} s", begin.elapsed().as_secs_f64()));
        Ok(test)
    }

    fn progress(&self, text: String) {
        let notify: &Notify = &self.options.notify;
        notify(Notice::Progress(text));
    }
}

/// Extracts clean accuracy and accuracy on PGD's last iterates from scores; `None` without a clean accuracy.
fn evaluation_of(scores: &[Score]) -> Option<Evaluation> {
    let accuracy = |kind| scores.iter().find(|score| score.kind == kind).map(|score| score.accuracy);
    Some(Evaluation { clean: accuracy(ScoreKind::Clean)?, robust: accuracy(ScoreKind::LastIterate) })
}

/// Writes the report of this run, or the shared report of all runs that have started.
fn write_report(directory: &RunDirectory, options: &RunOptions) -> Result<(), ExperimentError> {
    let (path, runs) = match &options.report {
        Some(shared) => (shared.path.clone(), shared.runs.clone()),
        None => (directory.path().join("report.html"), vec![directory.path().to_owned()]),
    };
    let begun: Vec<_> = runs.into_iter().filter(|run| run.join(RunRecord::FILE).exists()).collect();
    Ok(Report::of_directories(&begun)?.write(path)?)
}

/// Describes an epoch on one line.
fn describe_epoch(epoch: &EpochMetrics) -> String {
    let validation = match epoch.validation() {
        Some([clean, robust]) => {
            format!("validation clean {:.1} %, robust {:.1} %", clean.percent(), robust.percent())
        }
        None => "no validation".to_owned(),
    };
    let loss = if epoch.has_trained() { format!("loss {:.4}", epoch.loss) } else { "no loss".to_owned() };
    let skipped = match epoch.skipped_batches {
        0 => String::new(),
        1 => ", 1 batch skipped".to_owned(),
        count => format!(", {count} batches skipped"),
    };
    format!(
        "  epoch {:>2}: {loss}{skipped}, {validation}, {:.0} images/s, {:.1} % of the time waiting for data",
        epoch.epoch,
        epoch.images_per_second,
        100.0 * epoch.waiting_fraction()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use twins_data::{DataSource, Limit, Task};
    use twins_models::Architecture;
    use twins_train::Method;

    use super::*;
    use crate::settings::{DataConfig, InitialModel};

    /// A training of forty built-in images.
    fn small(epochs: usize) -> ExperimentConfig {
        ExperimentConfig {
            data: DataConfig::new(DataSource::Builtin(Task::Target)).with_limit(Some(Limit::Stratified(40))),
            model: InitialModel::random(Architecture::TinyResNet),
            training: TrainConfig::new(Method::Standard).with_epochs(epochs).with_batch_size(20),
            ..ExperimentConfig::default()
        }
    }

    /// Whether it is the line of an epoch, which is printed before the epoch is added to the record.
    fn is_epoch(notice: &Notice) -> bool {
        matches!(notice, Notice::Progress(line) if line.starts_with("  epoch"))
    }

    #[test]
    fn the_record_of_a_resumed_run_has_the_epochs_before() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small(2);
        config.evaluation.test = TestMeasurement::Skipped;
        let experiment = config.check().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let run = |existing: ExistingRun, interrupted: bool| {
            let stop = Arc::new(AtomicBool::new(false));
            let (raised, seen) = (stop.clone(), seen.clone());
            let file = folder.path().join(RunRecord::FILE);
            let notify: Notify = Arc::new(move |notice| {
                if is_epoch(&notice) {
                    let record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
                    let best = record["best"]["epoch"].clone();
                    seen.lock().unwrap().push((record["finished_epochs"].clone(), best));
                    raised.store(interrupted, Ordering::Relaxed);
                }
            });
            let options = RunOptions::new().with_existing(existing).with_stop_flag(stop).with_notify(notify);
            let outcome = experiment.run(folder.path(), options).unwrap();
            assert_eq!(outcome.is_interrupted(), interrupted);
        };
        run(ExistingRun::Refuse, true);
        run(ExistingRun::Resume, false);
        assert_eq!(*seen.lock().unwrap(), [(json!(0), Value::Null), (json!(1), json!(1))]);
    }

    #[test]
    fn a_run_that_is_stopped_after_its_training_is_measured_when_it_resumes() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small(1);
        config.evaluation.steps = 1;
        config.evaluation.report_images = 0;
        config.evaluation.last = LastCheckpoint::Measured;
        let experiment = config.check().unwrap();
        let run = |existing: ExistingRun, stopped: bool| {
            let stop = Arc::new(AtomicBool::new(false));
            let raised = stop.clone();
            // The only epoch has made its last step.
            let notify: Notify = Arc::new(move |notice| {
                if is_epoch(&notice) {
                    raised.store(stopped, Ordering::Relaxed);
                }
            });
            let options = RunOptions::new().with_existing(existing).with_stop_flag(stop).with_notify(notify);
            experiment.run(folder.path(), options).unwrap()
        };
        let outcome = run(ExistingRun::Refuse, true);
        assert!(outcome.is_interrupted());
        assert!(outcome.record.scores.is_empty() && outcome.record.gallery.is_none());
        let outcome = run(ExistingRun::Resume, false);
        assert!(!outcome.is_interrupted() && outcome.record.gallery.is_some());
        assert_eq!((outcome.record.history.len(), outcome.test.clean.total), (1, 40));

        // A finished run is not measured again: its duration stays what it was.
        let recorded = RunRecord::read(folder.path()).unwrap();
        let outcome = run(ExistingRun::Resume, false);
        assert_eq!((&outcome.record.provenance, outcome.test.clean.total), (&recorded.provenance, 40));
        // Without what was measured of the last checkpoint, it has not finished.
        let measured = RunRecord { last_scores: Vec::new(), ..recorded.clone() };
        measured.write(folder.path()).unwrap();
        let outcome = run(ExistingRun::Resume, false);
        assert!(
            !recorded.last_scores.is_empty()
                && outcome.record.last_scores.len() == recorded.last_scores.len()
        );
        // Nor without its model.
        let model = RunDirectory::new(folder.path()).model();
        fs::remove_file(&model).unwrap();
        let outcome = run(ExistingRun::Resume, false);
        assert!(model.exists() && outcome.record.provenance.seconds > recorded.provenance.seconds);
    }

    #[test]
    fn the_line_of_an_epoch_has_the_skipped_batches() {
        let line = |total: usize, skipped: usize| {
            let epoch = serde_json::from_value(serde_json::json!({
                "epoch": 1, "steps": 5, "learning_rate": 0.1, "loss": 1.5, "loss_frozen": null, "loss_adaptive": 1.5,
                "train_adversarial_accuracy": { "correct": 0, "total": total }, "ema_accuracy": null, "gradient_norm": 1.0,
                "skipped_batches": skipped, "images_per_second": 10.0, "seconds": 1.0, "seconds_waiting": 0.0,
            }));
            describe_epoch(&epoch.unwrap())
        };
        assert!(line(9, 0).starts_with("  epoch  1: loss 1.5000, no validation"), "{}", line(9, 0));
        assert!(line(9, 1).starts_with("  epoch  1: loss 1.5000, 1 batch skipped, no"), "{}", line(9, 1));
        assert!(line(0, 5).starts_with("  epoch  1: no loss, 5 batches skipped, no"), "{}", line(0, 5));
    }
}
