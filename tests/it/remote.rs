//! Another machine's device, here that of a second process over loopback: a shared evaluation comes to the same verdicts, a
//! training step to the same weights, and what goes wrong is told. Needs the program `twins` in the same profile.

mod access;
mod lost;

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::DeviceChoice;
use burn_twins::attack::{
    AutoAttackConfig, Evaluation, Norm, Replica, RobustnessEvaluation, Silent, ThreatModel, Version,
};
use burn_twins::nn::{TwinsBatchNormConfig, TwinsModule, Wing};
use burn_twins::train::{Sgd, StepSettings, TrainingBatch, TwinsAt, step};
use burn_twins_tests::Server;
use twins_attack_testing::{Golden, difference, host};

/// The server runs the same kernels, on batches of another size: a few hundred roundings of a gradient whose step has at
/// most unit length, as in `backend_attacks`.
const POINTS: f32 = 2e-5;

/// Of a tensor's largest value: the layer is one operation here and several there, and its sums are in another order.
const WEIGHTS: f32 = 1e-5;

#[test]
fn an_evaluation_shared_with_another_process_has_the_same_verdicts() {
    let server = Server::websocket();
    let device = server.choice().open().unwrap();
    assert_ne!(device, Device::flex());
    let (cpu, other) = (Golden::read(), Golden::read_to(device.clone()));
    let threat = ThreatModel::new(Norm::L2, 0.2).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(5).with_queries(20);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    let (net, net_there, asked) = (cpu.net(), other.net(), AtomicUsize::new(0));
    let here = |images: Tensor<4>| net.forward(images);
    let there = |images: Tensor<4>| {
        assert_eq!(images.device().inner(), device);
        asked.fetch_add(1, Ordering::Relaxed);
        net_there.forward(images)
    };
    let verdicts = |evaluation: &Evaluation| -> Vec<_> {
        evaluation.report.samples.iter().map(|sample| sample.broken_by.clone()).collect()
    };
    let alone = autoattack.evaluate(&here, &cpu.samples(), &mut Silent).unwrap();
    // Some fall and some stand.
    assert!(verdicts(&alone).iter().any(Option::is_some) && verdicts(&alone).iter().any(Option::is_none));
    let local = Replica::new(&here, Device::flex());
    let remote = Replica::new(&there, device.clone());
    for replicas in [vec![local.clone(), remote.clone()], vec![remote.clone(), local], vec![remote]] {
        asked.store(0, Ordering::Relaxed);
        let shared = autoattack.evaluate_on(&replicas, &cpu.samples(), &mut Silent).unwrap();
        assert_eq!(verdicts(&shared), verdicts(&alone));
        let off = difference(&host(shared.adversarial.clone()), &host(alone.adversarial.clone()));
        println!("{} replicas: {off:e}, {} calls there", replicas.len(), asked.load(Ordering::Relaxed));
        assert!(off <= POINTS, "{off}");
        assert!(asked.load(Ordering::Relaxed) > 0);
    }
}

/// Neither a panic nor a wait without end: what was found is in the evaluation's state, and another device can go on.
#[test]
fn a_server_that_dies_ends_an_evaluation_with_an_error() {
    let server = Mutex::new(Server::websocket());
    let device = server.lock().unwrap().choice().open().unwrap();
    let (cpu, other) = (Golden::read(), Golden::read_to(device.clone()));
    let threat = ThreatModel::new(Norm::Linf, 0.013).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(5).with_queries(20);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    let (net, asked) = (other.net(), AtomicUsize::new(0));
    let victim = |images: Tensor<4>| {
        if asked.fetch_add(1, Ordering::Relaxed) == 5 {
            server.lock().unwrap().kill();
        }
        net.forward(images)
    };
    let begin = Instant::now();
    let replica = Replica::new(&victim, device.clone());
    let error = autoattack.evaluate_on(&[replica], &cpu.samples(), &mut Silent).unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("read"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// Every weight after one step of TWINS-AT with momentum and weight decay.
fn weights_after_a_step(device: &Device) -> Vec<Vec<f32>> {
    let golden = crate::golden_steps::Golden::read("twins_steps/twins_at_batch8");
    let device = device.clone().autodiff();
    let batch = TrainingBatch::new(
        golden.tensor("step1.clean", &device),
        golden.tensor("step1.adversarial", &device),
        golden.labels("step1.label", &device),
    );
    let mut optimiser = Sgd::new(golden.setting("momentum"), golden.setting("weight_decay"));
    let objective = TwinsAt { lambda: golden.setting("lambda") };
    let settings = StepSettings::new(golden.setting("lr"));
    let (net, report) = step(golden.net(&device), &objective, &mut optimiser, &batch, &settings).unwrap();
    assert!(report.loss.is_finite());
    let mut weights = Weights(Vec::new());
    net.valid().visit(&mut weights);
    weights.0
}

struct Weights(Vec<Vec<f32>>);

impl ModuleVisitor for Weights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push(host(param.val()));
    }
}

#[test]
fn a_training_step_in_another_process_makes_the_same_weights() {
    let server = Server::websocket();
    let here = weights_after_a_step(&Device::flex());
    let there = weights_after_a_step(&server.choice().open().unwrap());
    // Two convolutions, the head's two, and of two layers gamma, beta, mean and variance of each wing.
    assert_eq!((here.len(), there.len()), (20, 20));
    let mut worst = 0.0_f32;
    for (here, there) in here.iter().zip(&there) {
        let largest = here.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
        let off = difference(here, there) / largest;
        assert!(off <= WEIGHTS, "{off}");
        worst = worst.max(off);
    }
    println!("largest relative difference of a weight: {worst:e}");
}

/// Burn panics where an operation of ours is asked of a backend that has none.
#[test]
fn the_layer_composes_burns_operations_there() {
    let server = Server::websocket();
    let there = server.choice().open().unwrap();
    // Large enough for the fused operation, which the local device takes.
    let images =
        Tensor::<4>::random([6, 4, 8, 8], Distribution::Normal(0.5, 2.0), &Device::flex()).into_data();
    let run = |device: Device| {
        let device = device.autodiff();
        let layer = TwinsBatchNormConfig::new(4).init(&device).with_wing(Wing::Split);
        let input = Tensor::<4>::from_data(images.clone(), &device).require_grad();
        let output = layer.forward_relu(input.clone());
        let gradients = output.clone().powi_scalar(2).sum().backward();
        (host(output.inner()), host(input.grad(&gradients).unwrap()))
    };
    let ((here, slope_here), (there, slope_there)) = (run(Device::flex()), run(there));
    let off = (difference(&here, &there), difference(&slope_here, &slope_there));
    println!("off by {off:?}");
    // Roundings of values up to 10, normalised or divided by a deviation of 2.
    assert!(off.0 <= 1e-5 && off.1 <= 1e-5, "{off:?}");
    assert!(slope_here.iter().any(|slope| slope.abs() > 0.1));
}

#[test]
fn a_server_of_several_devices_numbers_them() {
    let server = Server::start(&["--websocket", "--listen", "127.0.0.1:0", "--device", "cpu,cpu"], "");
    let [first, second] = ["", "#1"].map(|number| {
        let device = format!("{}{number}", server.choice()).parse::<DeviceChoice>().unwrap().open().unwrap();
        let sum = Tensor::<1>::from_floats([1.0, 2.0, 3.5], &device).sum().into_scalar::<f32>();
        assert_eq!(sum, 6.5);
        device
    });
    assert_ne!(first, second);
}

#[test]
fn devices_that_one_server_cannot_have_are_refused_before_it_listens() {
    for (devices, expected) in [
        ("cpu,ndarray", "cannot have the devices cpu,ndarray"),
        ("cpu,wgpu", "start a server for each kind"),
        ("cpu,remote:ws://127.0.0.1:9", "`remote:ws://127.0.0.1:9` is the device of another server"),
    ] {
        let message = Server::refused(&["--websocket", "--listen", "127.0.0.1:0", "--device", devices], "");
        assert!(message.contains(expected), "{message}");
    }
}

/// The error, which must come in time.
fn fault(device: &DeviceChoice) -> String {
    let begin = Instant::now();
    let error = device.open().unwrap_err().to_string();
    // The limit is 30 s.
    assert!(begin.elapsed() < Duration::from_secs(40), "{:?}", begin.elapsed());
    assert!(error.contains(&format!("`{device}`")), "{error}");
    error
}

fn named(address: String) -> DeviceChoice {
    DeviceChoice::Remote(address.parse().unwrap())
}

#[test]
fn what_keeps_a_device_from_being_opened_is_told_with_a_remedy() {
    thread::scope(|scope| {
        // Nobody listens.
        scope.spawn(|| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let error = fault(&named(format!("ws://{free}")));
            assert!(error.contains("cannot be reached") && error.contains("start `twins serve`"), "{error}");
        });
        // Somebody listens and never answers.
        scope.spawn(|| {
            let silent = TcpListener::bind("127.0.0.1:0").unwrap();
            let error = fault(&named(format!("ws://{}", silent.local_addr().unwrap())));
            assert!(error.contains("no answer within 30s"), "{error}");
        });
        scope.spawn(|| {
            let server = Server::start(&["--websocket", "--listen", "127.0.0.1:0"], Server::TOKEN);
            let error = fault(&server.choice());
            assert!(error.contains("rejected the credential"), "{error}");
            assert!(error.contains("TWINS_REMOTE_TOKEN"), "{error}");
        });
        scope.spawn(|| {
            let server = Server::websocket();
            let error = fault(&format!("{}#7", server.choice()).parse().unwrap());
            assert!(error.contains("hosts only 1 device") && error.contains("leave `#N` out"), "{error}");
        });
        scope.spawn(|| {
            let error = fault(&named("iroh://abc@127.0.0.1:4433".to_owned()));
            assert!(error.contains("`abc` is no server's ID"), "{error}");
        });
    });
}

/// The latencies of docs/remote.md.
#[test]
#[ignore = "it measures and checks nothing; with --nocapture"]
fn latency() {
    let folder = tempfile::tempdir().unwrap();
    let websocket = Server::websocket();
    let iroh = Server::iroh(folder.path(), Server::TOKEN);
    let cpu: DeviceChoice = "cpu".parse().unwrap();
    for choice in [cpu, websocket.choice(), iroh.choice_with(Server::TOKEN)] {
        let device = choice.open().unwrap();
        let value = Tensor::<1>::zeros([1], &device);
        let median = |rounds: usize, operations: usize| {
            let mut times: Vec<f64> = (0..rounds)
                .map(|_| {
                    let begin = Instant::now();
                    let sum = (0..operations).fold(value.clone(), |sum, _| sum + 1.0);
                    assert_eq!(sum.into_scalar::<f32>(), operations as f32);
                    begin.elapsed().as_secs_f64() * 1e6
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[rounds / 2]
        };
        median(50, 1);
        let (one, many) = (median(500, 1), median(50, 1001));
        println!(
            "{choice}: one addition and its reading {one:.0} us, each further one {:.1} us",
            (many - one) / 1e3
        );
    }
}
