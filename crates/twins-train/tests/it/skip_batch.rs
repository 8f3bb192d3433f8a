//! A batch whose loss is not a number is left out as if it had never been drawn.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use twins_nn::{TwinsModule, Wing};
use twins_train::{
    AdversaryConfig, At, Ended, ExistingRun, Loss, Method, NonFinite, Objective, Optimiser, Sgd,
    StepSettings, TrainConfig, Trained, TrainingBatch, TwinsAt, Weights, step,
};
use twins_train_testing::{Net, Squares, config, state, trainer};

/// 90 images less 9 for validation in batches of 17 and 16.
const STEPS: usize = 5;

/// AT or TWINS-AT that fails, or raises a flag, at a known call.
struct Faulty<O> {
    inner: O,
    calls: AtomicUsize,
    fails_at: usize,
    stop: Option<(usize, Arc<AtomicBool>)>,
}

impl<O: Objective<Net>> Faulty<O> {
    fn new(inner: O, fails_at: usize) -> Self {
        Self { inner, calls: AtomicUsize::new(0), fails_at, stop: None }
    }
}

impl<O: Objective<Net>> Objective<Net> for Faulty<O> {
    fn wing(&self) -> Wing {
        self.inner.wing()
    }

    fn loss(&self, model: &Net, batch: &TrainingBatch) -> Loss {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut loss = self.inner.loss(model, batch);
        if call == self.fails_at {
            loss.total = loss.total.mul_scalar(f32::NAN);
        }
        if let Some((at, stop)) = &self.stop
            && call == *at
        {
            stop.store(true, Ordering::Relaxed);
        }
        loss
    }
}

fn skipping(method: Method) -> TrainConfig {
    config(method).with_non_finite(NonFinite::SkipBatch)
}

fn fit<O: Objective<Net> + 'static>(config: TrainConfig, objective: Faulty<O>, run: &Path) -> Trained<Net> {
    let stop = objective.stop.as_ref().map(|(_, stop)| stop.clone()).unwrap_or_default();
    trainer(config)
        .with_objective(objective)
        .with_stop_flag(stop)
        .with_run_directory(run, ExistingRun::Refuse)
        .fit(Net::new(4, 1), Squares::dataset(90, 1))
        .unwrap()
}

#[test]
fn the_batch_leaves_no_trace_and_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let [skipped, shorter, whole] = ["skipped", "shorter", "whole"].map(|name| folder.path().join(name));
    // The epoch's last batch fails: what is left must be the state of a run that was stopped before it.
    let one_epoch = skipping(Method::TwinsAt).with_epochs(1).with_ema_decay(0.9);
    let objective = || TwinsAt { lambda: 1.0 };
    let trained = fit(one_epoch.clone(), Faulty::new(objective(), STEPS), &skipped);
    assert_eq!((trained.ended, trained.history[0].skipped_batches), (Ended::Completed, 1));
    assert_eq!(trained.history[0].train_adversarial_accuracy.total, 65);
    assert!(trained.history[0].loss.is_finite());

    let stop = Some((STEPS - 1, Arc::new(AtomicBool::new(false))));
    let stopped = fit(one_epoch, Faulty { stop, ..Faulty::new(objective(), usize::MAX) }, &shorter);
    assert_eq!(stopped.ended, Ended::Interrupted);
    let (found, expected) = (state(&skipped), state(&shorter));
    let altered: Vec<&String> = expected
        .iter()
        .filter(|(name, value)| found.get(*name) != Some(*value))
        .map(|(name, _)| name)
        .collect();
    assert!(altered.is_empty() && found.len() == expected.len(), "{altered:?}");
    for name in ["model/norm.running_mean", "optimiser/conv.weight", "ema/norm.running_mean"] {
        assert!(expected.contains_key(name), "{name}");
    }

    // A failure in the middle: the epochs are run to their end, and the others count nothing.
    let trained = fit(skipping(Method::TwinsAt), Faulty::new(objective(), 2), &whole);
    let counts: Vec<usize> = trained.history.iter().map(|metrics| metrics.skipped_batches).collect();
    assert_eq!((trained.ended, counts), (Ended::Completed, vec![1, 0, 0]));
    assert!(trained.best_epoch.unwrap().clean.percent() > 25.0);
}

#[test]
fn a_step_that_is_left_out_changes_nothing() {
    let device = Device::flex().autodiff();
    let batch = |seed: u32| {
        let values: Vec<f32> = (0..8 * 64).map(|i| ((i * 37 + seed * 11) % 97) as f32 / 97.0).collect();
        let images = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([8, 1, 8, 8]);
        TrainingBatch::new(images.clone(), images, Tensor::from_ints([0, 1, 2, 3, 0, 1, 2, 3], &device))
    };
    for settings in [StepSettings::new(0.1), StepSettings::new(0.1).with_awp_gamma(0.01)] {
        let run = |with_failure: bool| {
            let mut model = Net::new(4, 1).train().with_wing(Wing::AdaptiveTraining);
            let mut optimiser = Sgd::new(0.9, 1e-3);
            for seed in 0..3 {
                model = step(model, &At, &mut optimiser, &batch(seed), &settings).unwrap().0;
                if with_failure {
                    let faulty = Faulty::new(At, 1);
                    let (kept, report) =
                        step(model, &faulty, &mut optimiser, &batch(50 + seed), &settings).unwrap();
                    assert!(report.non_finite().unwrap().contains("NaN"));
                    assert_eq!(kept.norm.wing(), Wing::AdaptiveTraining);
                    model = kept;
                }
            }
            (Weights::of(&model), optimiser.state())
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn an_adversary_that_meets_bad_logits_skips_too() {
    // Logits of 1e38 · 1e38: infinite, and the adversary's difference of logits is looked at on the host.
    let mut net = Net::new(4, 1);
    net.head.weight = net.head.weight.map(|weight| weight.mul_scalar(1e38));
    net.norm.gamma = net.norm.gamma.map(|gamma| gamma.mul_scalar(1e38));
    let adversary = AdversaryConfig::default().with_loss(twins_attack::Loss::Margin);
    let fit = |non_finite| {
        let config =
            config(Method::At).with_epochs(1).with_adversary(adversary.clone()).with_non_finite(non_finite);
        trainer(config).fit(net.clone(), Squares::dataset(90, 1))
    };
    let message = fit(NonFinite::Stop).unwrap_err().to_string();
    assert!(message.contains("not finite"), "{message}");
    let trained = fit(NonFinite::SkipBatch).unwrap();
    assert_eq!(trained.history[0].skipped_batches, STEPS);
}
