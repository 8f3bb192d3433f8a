//! A custom objective with parameters of its own and a hook at the start of every epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use twins_nn::Wing;
use twins_train::{
    At, Ended, EpochStart, ExistingRun, ImageClassifier, Loss, Method, Objective, ObjectiveParameters,
    TrainConfig, TrainError, Trainer, TrainingBatch, Tuning, Weights,
};

use twins_train_testing::{Net, Squares, config, cpus, state, trainer};

/// AT with a trained offset of every class's logit; the offset's penalty is the model's accuracy when the epoch began.
#[derive(Clone, Default)]
struct Offset {
    penalty: f64,
    /// Calls of the hook.
    epochs: Arc<AtomicUsize>,
}

impl<M: ImageClassifier> Objective<M> for Offset {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn parameters(&self, _model: &M) -> Result<ObjectiveParameters, TrainError> {
        // Without autodiff: the trainer moves it to the model's kind of device.
        Ok(ObjectiveParameters::default().with("offset", Tensor::zeros([1, 4], &Device::flex())))
    }

    fn begin_epoch(&mut self, epoch: &mut EpochStart<'_, M>) -> Result<(), TrainError> {
        assert_eq!(epoch.parameters.names().collect::<Vec<_>>(), ["offset"]);
        self.epochs.fetch_add(1, Ordering::Relaxed);
        self.penalty = epoch.accuracy("model", epoch.model)?.fraction();
        Ok(())
    }

    fn loss(&self, model: &M, batch: &TrainingBatch) -> Loss {
        At.loss(model, batch)
    }

    fn loss_with_parameters(
        &self,
        model: &M,
        parameters: &ObjectiveParameters,
        batch: &TrainingBatch,
    ) -> Loss {
        let offset = parameters.get("offset").unwrap();
        let Loss { total, logits, .. } = self.loss(model, batch);
        // Pulls the offset to 1 with the strength of the penalty.
        let total = total + (offset - 1.0).powi_scalar(2).sum().mul_scalar(self.penalty);
        Loss { adaptive: total.clone(), total, frozen: None, logits }
    }
}

fn offset_trainer(config: &TrainConfig, objective: &Offset) -> Trainer<Net> {
    trainer(config.clone()).with_objective(objective.clone())
}

fn offset(run: &std::path::Path) -> Vec<f32> {
    let bytes = std::fs::read(run.join("last.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor("model/objective-parameters.offset").unwrap().data().to_vec();
    data.chunks(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn they_are_trained_saved_and_left_out_of_the_model() {
    for devices in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let objective = Offset::default();
        let trained = offset_trainer(&config(Method::At).with_ema_decay(0.5), &objective)
            .with_devices(cpus(devices))
            .with_run_directory(folder.path(), ExistingRun::Refuse)
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap();
        let names = |model: &Net| Weights::of(model).tensors().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&trained.best), names(&Net::new(4, 1)));
        assert!(offset(folder.path()).iter().all(|value| *value > 0.1), "{:?}", offset(folder.path()));
        assert_eq!(objective.epochs.load(Ordering::Relaxed), 3);
        let measured = trained.history[0].objective_accuracies["model"];
        assert_eq!(measured.total, 81);
        assert!(trained.history[2].objective_accuracies["model"].correct > measured.correct);
    }
}

#[test]
fn an_interrupted_epoch_keeps_what_was_measured() {
    let config = config(Method::At);
    let data = || Squares::dataset(90, 1);
    let straight = tempfile::tempdir().unwrap();
    let run = |folder: &std::path::Path, objective: &Offset, existing| {
        offset_trainer(&config, objective).with_run_directory(folder, existing)
    };
    let objective = Offset::default();
    let expected = run(straight.path(), &objective, ExistingRun::Refuse).fit(Net::new(4, 1), data()).unwrap();

    // The flag is up from the start, so that every run makes one step.
    let folder = tempfile::tempdir().unwrap();
    let objective = Offset::default();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let mut runs = 0;
    let trained = loop {
        let trainer = run(folder.path(), &objective, ExistingRun::Resume).with_stop_flag(stop.clone());
        let trained = trainer.fit(Net::new(4, 1), data()).unwrap();
        runs += 1;
        if trained.ended == Ended::Completed {
            break trained;
        }
        assert!(runs < 50);
    };
    assert!(objective.epochs.load(Ordering::Relaxed) > 3, "no epoch was interrupted");
    assert_eq!(state(folder.path()), state(straight.path()));
    for (found, expected) in trained.history.iter().zip(&expected.history) {
        assert_eq!(found.objective_accuracies, expected.objective_accuracies);
    }
}

#[test]
fn a_probe_leaves_them_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(Method::At).with_tuning(Tuning::LinearProbe);
    let trainer = offset_trainer(&config, &Offset::default());
    let trainer = trainer.with_run_directory(folder.path(), ExistingRun::Refuse);
    trainer.fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
    assert_eq!(offset(folder.path()), [0.0; 4]);
}

/// Refuses to begin.
struct Refusing;

impl Objective<Net> for Refusing {
    fn wing(&self) -> Wing {
        Wing::AdaptiveTraining
    }

    fn parameters(&self, _model: &Net) -> Result<ObjectiveParameters, TrainError> {
        Err(TrainError::Objective { source: "the prototypes file is empty".into() })
    }

    fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
        At.loss(model, batch)
    }
}

#[test]
fn its_error_ends_the_training_before_the_first_step() {
    let trainer = trainer(config(Method::At)).with_objective(Refusing);
    let message = trainer.fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap_err().to_string();
    assert_eq!(message, "the training objective: the prototypes file is empty");
}

#[test]
fn no_operation_of_modules_loses_a_parameter() {
    let device = Device::flex();
    let parameters = ObjectiveParameters::default()
        .with("first", Tensor::from_floats([[1.0, 2.0]], &device))
        .with("second", Tensor::from_floats([[3.0]], &device));
    let values = |parameters: &ObjectiveParameters| -> Vec<(String, Vec<f32>)> {
        let value = |name: &str| parameters.get(name).unwrap().try_into_vec_as::<f32>().unwrap();
        parameters.names().map(|name| (name.to_owned(), value(name))).collect()
    };
    let expected = [("first".to_owned(), vec![1.0, 2.0]), ("second".to_owned(), vec![3.0])];
    for (operation, changed) in [
        ("materialize", parameters.clone().materialize()),
        ("fork", parameters.clone().fork(&device)),
        ("to_device", parameters.clone().to_device(&device)),
        ("train", parameters.clone().train()),
        ("valid", parameters.clone().train().valid()),
    ] {
        assert_eq!(values(&changed), expected, "{operation}");
    }
    assert_eq!(parameters.num_params(), 3);
}
