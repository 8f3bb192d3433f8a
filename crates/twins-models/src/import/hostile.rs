//! Damaged files: an error or a network, never a panic, never a long wait, and never more memory than four times the
//! file and 64 MiB.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use proptest::prelude::*;

use crate::architectures::golden::{golden, reduced_net};
use crate::import::counting::peak;
use crate::import::load::{load_pretrained, load_weights};
use crate::import::options::ImportOptions;
use crate::model_file::card::ModelCard;
use crate::model_file::file::save_model;

/// Small files of every form, and the reduced network that each holds.
const FILES: [(&str, &str); 9] = [
    ("torch/mnist_cnn.safetensors", "mnist_cnn"),
    ("torch/cifar.safetensors", "cifar"),
    ("formats/zip.pt", "mnist_cnn"),
    ("formats/legacy.pt", "mnist_cnn"),
    ("formats/half.pt", "mnist_cnn"),
    ("formats/nested.pth.tar", "mnist_cnn"),
    ("formats/whole_module.pt", "mnist_cnn"),
    ("formats/robust_transfer.ckpt", "bottleneck"),
    ("formats/calls_eval.pkl", "mnist_cnn"),
];

/// And two that are written here.
const RECORD: usize = FILES.len();
const MODEL_FILE: usize = FILES.len() + 1;

/// The bytes of one of them, of a record of Burn, or of a model file.
fn bytes(file: usize) -> (Vec<u8>, &'static str) {
    static WRITTEN: [OnceLock<Vec<u8>>; 2] = [OnceLock::new(), OnceLock::new()];
    if let Some((path, name)) = FILES.get(file) {
        return (fs::read(golden(path)).unwrap(), name);
    }
    let written = WRITTEN[file - RECORD].get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written");
        let net = reduced_net("cifar", &Device::flex());
        if file == RECORD {
            let path = path.with_extension("bpk");
            net.into_record().save(&path).unwrap();
            return fs::read(path).unwrap();
        }
        let card = ModelCard::new(&net, ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()).unwrap();
        save_model(&path, &net, &card).unwrap();
        fs::read(path).unwrap()
    });
    (written.clone(), "cifar")
}

/// Numbers that lengths, offsets and shapes are seldom checked against.
const ABSURD: [u64; 8] =
    [0, 1, u64::MAX, i64::MAX as u64, u32::MAX as u64, i32::MAX as u64, 1 << 40, (-1i32) as u64];

#[derive(Clone, Debug)]
enum Damage {
    Flip { at: f64, bit: u8 },
    Set { at: f64, byte: u8 },
    Number { at: f64, which: usize, width: usize },
    Cut { at: f64 },
    Remove { at: f64, count: usize },
    Repeat { at: f64, count: usize },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let place = |at: f64| ((at * bytes.len() as f64) as usize).min(bytes.len() - 1);
        match *self {
            Self::Flip { at, bit } => {
                let at = place(at);
                bytes[at] ^= 1 << bit;
            }
            Self::Set { at, byte } => {
                let at = place(at);
                bytes[at] = byte;
            }
            Self::Number { at, which, width } => {
                let at = place(at);
                let number = ABSURD[which].to_le_bytes();
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            Self::Cut { at } => bytes.truncate(place(at)),
            Self::Remove { at, count } => {
                let at = place(at);
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Self::Repeat { at, count } => {
                let at = place(at);
                let copy = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
}

/// A place in a file, oftener near its beginning or end, where headers and directories are.
fn place() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0f64, 0.0..0.02f64, 0.9..1.0f64]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (place(), 0..8u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        4 => (place(), any::<u8>()).prop_map(|(at, byte)| Damage::Set { at, byte }),
        4 => (place(), 0..ABSURD.len(), prop_oneof![Just(1usize), Just(2), Just(4), Just(8)])
            .prop_map(|(at, which, width)| Damage::Number { at, which, width }),
        1 => place().prop_map(|at| Damage::Cut { at }),
        2 => (place(), 1..64usize).prop_map(|(at, count)| Damage::Remove { at, count }),
        2 => (place(), 1..64usize).prop_map(|(at, count)| Damage::Repeat { at, count }),
    ]
}

proptest! {
    // PROPTEST_CASES=20000 runs it for some minutes.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_refused_or_read(
        file in 0..=MODEL_FILE,
        damages in prop::collection::vec(damage(), 1..6),
    ) {
        let (mut bytes, name) = bytes(file);
        for damage in &damages {
            damage.apply(&mut bytes);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.pt");
        fs::write(&path, &bytes).unwrap();
        let begin = Instant::now();
        let net = reduced_net(name, &Device::flex());
        let config = net.config().clone();
        let options = ImportOptions::new();
        let (outcomes, allocated) = peak(|| {
            [
                load_weights(net, &path, &options).err(),
                // With the number of classes that the file has, and a network that it is too small for.
                load_pretrained(&config, &path, &options, &Device::flex()).err(),
                ModelCard::read(&path).err(),
            ]
        });
        for error in outcomes.into_iter().flatten() {
            prop_assert!(error.to_string().contains("damaged.pt"), "{}", error);
        }
        let bound = 4 * bytes.len() + (64 << 20);
        prop_assert!(allocated <= bound, "{} bytes for a file of {}", allocated, bytes.len());
        // Milliseconds on an idle machine.
        prop_assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
