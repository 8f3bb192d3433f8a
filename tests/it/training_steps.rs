//! Three training steps against PyTorch 2.6 with the published dual batch normalisation, on every device of
//! `TWINS_DEVICES`, and with one wing with its ordinary one; see `crates/twins-train/tests/golden/*/README.md`.

use crate::golden_steps::{Golden, InitialBranch, Net, TOLERANCE, Wings};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use burn_twins::nn::TwinsModule;
use burn_twins::train::{
    Accuracy, At, AutoLora, AutoLoraConfig, Mart, Objective, Sgd, Standard, StepSettings, Trades,
    TrainingBatch, TrainingModel, TwinsAt, TwinsTrades, step_with_parameters,
};

const PROBE: &str = "linear_probe";

struct Case {
    name: &'static str,
    /// Decides what of the net is trained.
    prepare: fn(Net) -> Net,
    objective: fn(&Golden) -> Box<dyn Objective<Net>>,
    awp_gamma: Option<f64>,
}

impl Case {
    fn three_steps(&self) {
        for (name, device) in burn_twins_tests::devices() {
            let worst = self.three_steps_on(device);
            println!("{} on {name}: largest relative error {worst:e}", self.name);
        }
    }

    /// The largest relative error.
    fn three_steps_on(&self, inner: Device) -> f32 {
        let case = self.name;
        let mut golden = if case.contains('/') { Golden::read(case) } else { Golden::read_plain(case) };
        let device = inner.clone().autodiff();
        let objective = (self.objective)(&golden);
        let net = (self.prepare)(golden.net(&device));
        let parameters = objective.parameters(&net).unwrap();
        let initial = &mut InitialBranch { golden: &golden, path: Vec::new() };
        let mut model = TrainingModel { model: net, parameters }.map(initial);
        let mut optimiser = Sgd::new(golden.setting("momentum"), golden.setting("weight_decay"));
        let settings = StepSettings { awp_gamma: self.awp_gamma, ..StepSettings::new(golden.setting("lr")) };
        let expected = golden.tensors["losses"].as_slice::<f32>().unwrap().to_vec();
        for number in 1..=3 {
            let adversarial = match golden.wings {
                Wings::Both => golden.tensor(&format!("step{number}.adversarial"), &device),
                Wings::Adaptive => 1.0 - golden.tensor::<4>(&format!("step{number}.clean"), &device),
            };
            let batch = TrainingBatch::new(
                golden.tensor(&format!("step{number}.clean"), &device),
                adversarial,
                golden.labels(&format!("step{number}.label"), &device),
            );
            // The gradients are those of a perturbed net, or of the head alone, which the weights after the step show.
            if number == 1 && self.awp_gamma.is_none() && case != PROBE {
                // On a copy: the passes move the running statistics.
                let copy = model.valid().train().with_wing(golden.wing());
                let loss = objective.loss_with_parameters(&copy.model, &copy.parameters, &batch);
                golden.compare("step1.logits", loss.logits.clone().inner());
                let gradients = GradientsParams::from_grads(loss.total.backward(), &copy);
                golden.compare_gradients(&copy.model, &gradients);
                golden.compare_branch("step1.grad", &copy, Some(&gradients));
            }
            let made = step_with_parameters(model, &*objective, &mut optimiser, &batch, &settings);
            let (trained, report) = made.unwrap();
            model = trained;
            let losses = match report.frozen_loss {
                Some(frozen) => vec![frozen, report.adaptive_loss, report.loss],
                None => vec![report.loss],
            };
            for (found, expected) in losses.iter().zip(&expected[losses.len() * (number - 1)..]) {
                let error = (found - f64::from(*expected)).abs() / f64::from(expected.abs());
                golden.worst = golden.worst.max(error as f32);
                assert!(error <= f64::from(TOLERANCE), "loss of step {number}: {found}, not {expected}");
            }
            golden.compare_weights(number, &model.model);
            golden.compare_branch(&format!("step{number}.after"), &model, None);
        }
        golden.compare_evaluation(&model.model, &inner);
        golden.worst
    }
}

fn three_steps(name: &'static str, objective: fn(&Golden) -> Box<dyn Objective<Net>>) {
    Case { name, prepare: |net| net, objective, awp_gamma: None }.three_steps();
}

/// With the weight perturbation of the generator.
fn three_perturbed_steps(name: &'static str, objective: fn(&Golden) -> Box<dyn Objective<Net>>) {
    Case { name, prepare: |net| net, objective, awp_gamma: Some(0.05) }.three_steps();
}

#[test]
fn twins_at_batch8() {
    three_steps("twins_steps/twins_at_batch8", |golden| {
        Box::new(TwinsAt { lambda: golden.setting("lambda") })
    });
}

#[test]
fn twins_at_batch7() {
    three_steps("twins_steps/twins_at_batch7", |golden| {
        Box::new(TwinsAt { lambda: golden.setting("lambda") })
    });
}

#[test]
fn twins_trades_batch8() {
    three_steps("twins_steps/twins_trades_batch8", |golden| {
        Box::new(TwinsTrades { lambda: golden.setting("lambda"), beta: golden.setting("beta") })
    });
}

#[test]
fn standard() {
    three_steps("standard", |_| Box::new(Standard));
}

#[test]
fn at() {
    three_steps("at", |_| Box::new(At));
}

#[test]
fn trades() {
    three_steps("trades", |golden| Box::new(Trades { beta: golden.setting("beta") }));
}

#[test]
fn mart() {
    three_steps("mart", |golden| Box::new(Mart { beta: golden.setting("beta") }));
}

#[test]
fn linear_probe() {
    Case { name: PROBE, prepare: Net::probed, objective: |_| Box::new(At), awp_gamma: None }.three_steps();
}

#[test]
fn auto_lora() {
    three_steps("auto_lora", |_| {
        let config = AutoLoraConfig::new(4);
        let weights = config.loss_weights(Accuracy { correct: 3, total: 8 });
        Box::new(AutoLora::new(config).with_loss_weights(weights))
    });
}

#[test]
fn at_with_weight_perturbation() {
    three_perturbed_steps("at_awp", |_| Box::new(At));
}

#[test]
fn trades_with_weight_perturbation() {
    three_perturbed_steps("trades_awp", |golden| Box::new(Trades { beta: golden.setting("beta") }));
}
