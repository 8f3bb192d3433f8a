//! A training that was interrupted on one backend goes on with another, on every device of `TWINS_DEVICES`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::Device;
use burn_twins::DeviceChoice;
use burn_twins::attack::Norm;
use burn_twins::nn::Wing;
use burn_twins::train::{
    AdversaryConfig, Ended, ExistingRun, Loss, Method, Objective, TrainConfig, Trained, TrainingBatch,
    TwinsAt, Weights,
};
use twins_train_testing::{Net, Squares, difference};

/// Steps of the whole training: two epochs of 36 images in batches of 16, 16 and 4.
const STEPS: usize = 6;
/// Steps before the interruption, which leaves it in the middle of the second epoch.
const BEFORE: usize = 4;

/// The labels and clean images of the batches that were trained on, to the bit.
type Seen = Vec<(Vec<i64>, Vec<u32>)>;

/// TWINS-AT that notes what it is trained on, and raises the stop flag in a step.
struct Noted {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    stop_at: Option<usize>,
}

impl Objective<Net> for Noted {
    fn wing(&self) -> Wing {
        Objective::<Net>::wing(&TwinsAt { lambda: 1.0 })
    }

    fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
        let labels = batch.labels.clone().inner().into_data().convert::<i64>().try_to_vec().unwrap();
        let pixels = batch.clean.clone().inner().try_into_vec_as::<f32>().unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.push((labels, pixels.into_iter().map(f32::to_bits).collect()));
        if self.stop_at == Some(seen.len()) {
            self.stop.store(true, Ordering::Relaxed);
        }
        TwinsAt { lambda: 1.0 }.loss(model, batch)
    }
}

/// The steps of L2 are smooth in the gradient: a sign that rounding turns would not be.
fn config() -> TrainConfig {
    twins_train_testing::config(Method::TwinsAt)
        .with_epochs(2)
        .with_ema_decay(0.9)
        .with_adversary(AdversaryConfig::new(Norm::L2, 0.3, 2, 0.2))
}

/// Trains on a device, from the run directory's checkpoint where there is one.
fn train(device: &Device, seed: u64, run: Option<&Path>, stop_at: Option<usize>) -> (Trained<Net>, Seen) {
    let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let objective = Noted { seen: Arc::clone(&seen), stop: stop.clone(), stop_at };
    let trainer = twins_train_testing::trainer(config()).with_objective(objective).with_stop_flag(stop);
    let trainer = match run {
        Some(run) => trainer.with_run_directory(run, ExistingRun::Resume),
        None => trainer,
    };
    let trained = trainer.fit(Net::new(4, seed).to_device(device), Squares::dataset(40, 1)).unwrap();
    assert!(trained.last.devices().into_iter().all(|place| place.inner() == *device));
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (trained, seen)
}

/// Interrupted on one device, resumed on another.
fn interrupted(first: &Device, second: &Device) -> (Trained<Net>, Trained<Net>, Seen) {
    let folder = tempfile::tempdir().unwrap();
    let (half, mut seen) = train(first, 1, Some(folder.path()), Some(BEFORE));
    assert_eq!((half.ended, half.history.len(), seen.len()), (Ended::Interrupted, 1, BEFORE));
    // Of the model that is given only the shape counts now.
    let (whole, rest) = train(second, 99, Some(folder.path()), None);
    assert_eq!((whole.ended, rest.len()), (Ended::Completed, STEPS - BEFORE));
    seen.extend(rest);
    (half, whole, seen)
}

/// Float32 roundings (6e-8) of each step's sums in another order, carried through the remaining steps. Seen: 1.1e-7 on
/// CPUs; a GPU's exponentials and logarithms may be off by tens of roundings.
const TOLERANCE: f32 = 1e-5;

#[test]
fn a_run_goes_on_with_another_backend() {
    let cpu = ("cpu".to_owned(), Device::flex());
    for (choice, device) in burn_twins_tests::devices() {
        let other = (choice.to_string(), device);
        let pairs = match choice {
            DeviceChoice::Cpu => vec![(&cpu, &cpu)],
            _ => vec![(&cpu, &other), (&other, &cpu), (&other, &other)],
        };
        for (first, second) in pairs {
            let (straight, expected) = train(&first.1, 1, None, None);
            let (half, resumed, seen) = interrupted(&first.1, &second.1);
            assert!(seen == expected, "{} → {}: other batches", first.0, second.0);
            let steps = |trained: &Trained<Net>| -> Vec<_> {
                let metrics = trained.history.iter();
                metrics.map(|m| (m.epoch, m.steps, m.learning_rate, m.validation_robust_accuracy)).collect()
            };
            assert_eq!(steps(&resumed), steps(&straight), "{} → {}", first.0, second.0);
            let (off, path) = difference(&straight.last, &resumed.last);
            let (moved, _) = difference(&straight.last, &half.last);
            println!(
                "{} → {}: weights at most {off:.1e} off ({path}), the steps moved them by {moved:.1e}",
                first.0, second.0
            );
            assert!(moved > 1e3 * TOLERANCE, "the remaining steps change too little to tell: {moved}");
            if first.0 == second.0 {
                assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last), "{}", first.0);
            } else {
                assert!(off <= TOLERANCE, "{} → {}: {path} is {off} off", first.0, second.0);
            }
        }
    }
}
