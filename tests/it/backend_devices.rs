//! A training that the CPU shares with each device of `TWINS_DEVICES`.

use std::process::Command;

use burn::module::Module;
use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::{DeviceKind, Tensor};
use burn_twins::DeviceChoice;
use burn_twins::attack::Norm;
use burn_twins::data::{TensorDataset, collate};
use burn_twins::train::{AdversaryConfig, Method, TrainConfig, Trained};
use twins_train_testing::{Net, Squares, difference};

/// The steps of L2 are smooth in the gradient: a sign that rounding turns would not be.
fn config(synchronised: bool) -> TrainConfig {
    twins_train_testing::config(Method::TwinsAt)
        .with_epochs(1)
        .with_sync_statistics(synchronised)
        .with_adversary(AdversaryConfig::new(Norm::L2, 0.3, 2, 0.2))
}

/// Three steps on 48 images in batches of 16.
fn train(devices: [&Device; 2], synchronised: bool) -> Trained<Net> {
    let trainer =
        twins_train_testing::trainer(config(synchronised)).with_devices(devices.map(Clone::clone).to_vec());
    let trained = trainer.fit(Net::new(4, 1), Squares::dataset(53, 1)).unwrap();
    assert!(trained.last.devices().into_iter().all(|place| place.inner() == *devices[0]));
    trained
}

/// Images may travel as bytes and become floats on the device: to the bit what PyTorch divides.
#[test]
fn bytes_become_the_same_floats_everywhere() {
    let pixels: Vec<u8> = (0..=255).collect();
    let data = TensorDataset::from_bytes([1, 16, 16], pixels.clone(), vec![0]).unwrap();
    let expected: Vec<f32> = pixels.into_iter().map(|byte| f32::from(byte) / 255.0).collect();
    for (choice, device) in burn_twins_tests::devices() {
        let images = collate(&data, &[0], None, &device).unwrap().images;
        let found = images.into_data_as::<f32>().try_into_vec::<f32>().unwrap();
        assert_eq!(found, expected, "{choice}");
    }
}

/// In a process of its own, since other tests open the device first.
#[test]
fn a_gpu_that_the_program_uses_already_can_be_opened() {
    if !burn_twins_tests::devices().iter().any(|(choice, _)| *choice == DeviceChoice::Wgpu(None)) {
        return;
    }
    let arguments = ["--exact", "backend_devices::opened_after_use", "--ignored"];
    let output = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    let [text, errors] = [&output.stdout, &output.stderr].map(|stream| String::from_utf8_lossy(stream));
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

#[test]
#[ignore = "run in a process of its own"]
#[cfg(feature = "wgpu")]
fn opened_after_use() {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let sum = Tensor::<1>::ones([3], &device).sum().into_scalar::<f32>();
    let opened = DeviceChoice::Wgpu(None).open().unwrap();
    assert_eq!((sum, opened), (3.0, device));
}

/// Float32 roundings (6e-8) of each step's sums in another order, carried through the remaining steps; a GPU's
/// exponentials and logarithms may be off by tens of roundings.
const TOLERANCE: f32 = 1e-5;

#[test]
fn two_backends_share_a_training() {
    let cpu = Device::flex();
    for (choice, device) in burn_twins_tests::devices() {
        for synchronised in [false, true] {
            let expected = train([&cpu, &cpu], synchronised);
            let pairs = match choice {
                DeviceChoice::Cpu => vec![[&cpu, &cpu]],
                _ => vec![[&cpu, &device], [&device, &cpu]],
            };
            for pair in pairs {
                let found = train(pair, synchronised);
                let (off, path) = difference(&expected.last, &found.last);
                println!("{choice}, synchronised {synchronised}: at most {off:.1e} off ({path})");
                assert!(off <= TOLERANCE, "{choice}: {path} is {off} off");
            }
        }
    }
}
