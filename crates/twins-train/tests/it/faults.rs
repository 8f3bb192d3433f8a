//! What goes wrong within a step is an error that says where, and the run goes on from its last checkpoint.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use twins_nn::Wing;
use twins_train::{
    AdversaryConfig, ExistingRun, Loss, Method, Objective, TrainConfig, TrainError, TrainingBatch, TwinsAt,
    Weights, evaluate,
};
use twins_train_testing::{Net, Squares, config, state, trainer};

/// TWINS-AT whose losses from a call on are changed.
struct Faulty<F> {
    from: usize,
    fault: F,
    calls: AtomicUsize,
}

impl<F: Fn(&Net, Loss) -> Loss + Send + Sync> Objective<Net> for Faulty<F> {
    fn wing(&self) -> Wing {
        Wing::Split
    }

    fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
        let loss = TwinsAt { lambda: 1.0 }.loss(model, batch);
        match self.calls.fetch_add(1, Ordering::Relaxed) + 1 >= self.from {
            true => (self.fault)(model, loss),
            false => loss,
        }
    }
}

fn twins() -> TrainConfig {
    config(Method::TwinsAt).with_checkpoint_steps(1)
}

fn error(
    config: TrainConfig,
    from: usize,
    run: &Path,
    fault: impl Fn(&Net, Loss) -> Loss + Send + Sync + 'static,
) -> TrainError {
    trainer(config)
        .with_objective(Faulty { from, fault, calls: AtomicUsize::new(0) })
        .with_run_directory(run, ExistingRun::Overwrite)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap_err()
}

#[test]
fn values_that_are_not_finite_are_told_with_step_layer_and_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let told = |fault: fn(&Net, Loss) -> Loss, what: &str, origin: &str| {
        let message = error(twins(), 3, folder.path(), fault).to_string();
        assert!(message.starts_with(&format!("{what} at step 3 of epoch 1")), "{message}");
        assert!(message.contains(origin) && message.contains("last.safetensors"), "{message}");
    };
    told(
        |_, loss| Loss { total: loss.total.mul_scalar(f32::NAN), ..loss },
        "the loss is NaN",
        "all weights are finite, the first gradient that is not is that of \"conv.weight\"",
    );
    told(
        |_, loss| Loss { total: loss.total.add_scalar(f32::INFINITY), ..loss },
        "the loss is inf",
        "all weights and gradients are finite, the loss alone is not",
    );
    // The root's slope is infinite at zero.
    told(
        |model, loss| {
            let zero = model.norm.gamma.val().sum().mul_scalar(0.0);
            Loss { total: loss.total + zero.sqrt(), ..loss }
        },
        "the gradient of \"norm.gamma\" has norm NaN",
        "the loss and all weights are finite",
    );
    // In micro-batches too.
    let fault = |_: &Net, loss: Loss| Loss { total: loss.total.mul_scalar(f32::NAN), ..loss };
    let message = error(twins().with_accumulate(2), 5, folder.path(), fault).to_string();
    assert!(message.starts_with("the loss is NaN at step 3 of epoch 1"), "{message}");
    assert!(message.contains("\"conv.weight\""), "{message}");
}

#[test]
fn a_weight_that_is_not_finite_is_named_before_gradients() {
    // Images of the class have an infinite loss if its logit is −inf, and all have none if a logit is inf or NaN.
    for (value, loss) in [(f32::NAN, "NaN"), (f32::INFINITY, "NaN"), (f32::NEG_INFINITY, "inf")] {
        let mut net = Net::new(4, 1);
        net.head.weight = net.head.weight.map(|weight| weight.slice_fill([3..4, 1..2], value));
        let fit = |config: TrainConfig| {
            trainer(config).fit(net.clone(), Squares::dataset(90, 1)).unwrap_err().to_string()
        };
        let message = fit(config(Method::At));
        assert!(
            message.starts_with(&format!("the loss is {loss} at step 1 of epoch 1")),
            "{value}: {message}"
        );
        assert!(
            message.contains("the first weight or statistic that is not finite is \"head.weight\""),
            "{value}: {message}"
        );
        assert!(message.ends_with("last good checkpoint: none"), "{value}: {message}");
        // Where the adversary looks at the logits on the host, it meets them first.
        let adversary = AdversaryConfig::default().with_loss(twins_attack::Loss::Margin);
        let message = fit(config(Method::At).with_adversary(adversary));
        assert!(
            message.contains(&format!("not finite ({value}) at step 1 of epoch 1")),
            "{value}: {message}"
        );
        assert!(message.contains("\"head.weight\""), "{value}: {message}");
    }
}

#[test]
fn a_panic_on_the_only_device_is_an_error_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    // Three steps of 27 images, large enough for micro-batches.
    let larger = || twins().with_batch_size(32);
    let memory = |_: &Net, _: Loss| -> Loss { panic!("out of device memory allocating 4096 bytes") };

    // The third step's only call, then the second of its two.
    for (accumulate, call, suggestion) in [(1, 3, "accumulate 2 (now 1;"), (2, 6, "accumulate 4 (now 2;")] {
        let run = folder.path().join(format!("accumulate-{accumulate}"));
        let error = error(larger().with_accumulate(accumulate), call, &run, memory);
        assert!(matches!(error, TrainError::Device { place: 1, devices: 1, .. }), "{error}");
        let message = error.to_string();
        for part in [
            "the computation failed at step 3 of epoch 1: out of device memory",
            "batch_size 16 (now 32)",
            suggestion,
            "last.safetensors",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    // Whatever else panics is told without sizes, and what was saved before is whole.
    let run = folder.path().join("shapes");
    let message = error(twins(), 8, &run, |_, _| panic!("shapes differ")).to_string();
    assert!(message.contains("failed at step 3 of epoch 2: shapes differ"), "{message}");
    assert!(!message.contains("batch_size") && message.contains("remove the cause"), "{message}");
    let mut names: Vec<String> = state(&run).into_keys().filter(|name| name.starts_with("model/")).collect();
    names.sort();
    assert!(names.contains(&"model/norm.running_mean".to_owned()), "{names:?}");

    for (run, config) in [("accumulate-1", larger()), ("shapes", twins())] {
        let straight = trainer(config.clone()).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
        let resumed = trainer(config)
            .with_run_directory(folder.path().join(run), ExistingRun::Resume)
            .fit(Net::new(4, 1), Squares::dataset(90, 1))
            .unwrap();
        assert!(resumed.damaged_checkpoint.is_none());
        assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last), "{run}");
        assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best), "{run}");
        assert_eq!(resumed.history.len(), 3);
    }
}

#[test]
fn a_panic_while_images_are_prepared_is_no_shorter_epoch() {
    // Some images cannot be read for want of memory.
    let missing = |from: usize| {
        let fail = move |index: usize| assert!(index < from, "memory allocation of {index} bytes failed");
        Squares::dataset_with(90, 1, fail)
    };
    let validation = Squares::dataset(40, 2);
    let fit = |train, validation| {
        let trainer = trainer(config(Method::At)).with_validation_set(validation);
        trainer.fit(Net::new(4, 1), train).unwrap_err().to_string()
    };
    let message = fit(missing(89), validation);
    assert!(message.contains("of epoch 1: memory allocation of 89 bytes failed"), "{message}");
    assert!(message.contains("batch_size 8 (now 17)"), "{message}");

    let message = fit(Squares::dataset(90, 1), missing(30));
    assert!(message.contains("failed in an evaluation: memory allocation of"), "{message}");
    // Micro-batches do not divide an evaluation.
    assert!(message.contains("use batch_size 8 (now 17)") && !message.contains("accumulate"), "{message}");

    let message = evaluate(&Net::new(4, 1), &missing(30), None, 20).unwrap_err().to_string();
    assert!(message.contains("use batch_size 10 (now 20)"), "{message}");
}
