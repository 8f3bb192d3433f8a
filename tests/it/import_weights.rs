//! Import of the real robust MNIST network and the real CIFAR ResNet-20.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use burn_twins::models::{
    Architecture, ImportOptions, ModelCard, ModelConfig, ModelError, Net, WeightFormat, load_model,
    load_pretrained, load_weights, save_model,
};
use burn_twins_tests::devices;
use safetensors::tensor::{Dtype, TensorView};
use twins_testing::shared;

/// Logits of the first MNIST test image as PyTorch 2.6 prints them.
const LOGITS: [f32; 10] =
    [-5.8544, -5.0803, -3.5295, 1.6491, -12.6069, -9.0462, -32.2404, 16.6278, -6.0844, 0.6549];

fn mnist(device: &Device) -> Net {
    ModelConfig::new(Architecture::MnistCnn, 10).init(device).unwrap()
}

fn first_test_image(path: &Path, device: &Device) -> Tensor<4> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    let pixels: Vec<f32> = bytes[16..16 + 784].iter().map(|byte| f32::from(*byte) / 255.0).collect();
    Tensor::from_data(TensorData::new(pixels, [1, 1, 28, 28]), device)
}

fn logits(net: &Net, images: Tensor<4>) -> Vec<f32> {
    net.forward(images).into_data().try_to_vec().unwrap()
}

#[test]
fn the_robust_mnist_network_gives_the_published_logits() {
    let Some(weights) = shared("models/mnist_pgd_robust.pth") else { return };
    let Some(images) = shared("data/t10k-images-idx3-ubyte.gz") else { return };
    for (name, device) in devices() {
        let (net, report) = load_weights(mnist(&device), &weights, &ImportOptions::new()).unwrap();
        assert_eq!(report.format, WeightFormat::PytorchLegacy);
        assert_eq!(report.mapped.len(), 8, "{report}");
        assert!(report.ignored.is_empty() && report.kept.is_empty(), "{report}");
        for (found, expected) in logits(&net, first_test_image(&images, &device)).iter().zip(LOGITS) {
            // The figures are rounded to four digits (5e-5), the sums of 1568 products differ by their order.
            assert!((found - expected).abs() < 1e-4, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn the_cifar_network_fills_every_place_of_both_wings() {
    let Some(weights) = shared("models/cifar_resnet20.th") else { return };
    let device = Device::flex();
    let config = ModelConfig::new(Architecture::ResNet20, 2);
    // The number of classes is the file's.
    let (net, report) = load_pretrained(&config, &weights, &ImportOptions::new(), &device).unwrap();
    assert_eq!(net.num_classes(), 10);
    assert_eq!(report.entry, "state_dict");
    assert_eq!(report.prefix, "state_dict.module.");
    assert_eq!(report.mapped.len(), 97, "{report}");
    // 19 normalisation layers with gamma, beta, mean and variance.
    assert_eq!(report.copied_to_frozen, 4 * 19);
    assert!(report.kept.is_empty(), "{report}");
    let first = &report.mapped[0];
    assert_eq!(
        (first.key.as_str(), first.module_path.as_str()),
        ("state_dict.module.conv1.weight", "conv1.weight")
    );
    assert_eq!(first.shape, [16, 3, 3, 3]);
    let head = report.mapped.iter().find(|entry| entry.module_path == "head.weight").unwrap();
    assert_eq!((head.key.as_str(), &head.shape[..]), ("state_dict.module.linear.weight", &[10, 64][..]));
}

/// Images that PyTorch can be given alike: a hash of the pixel's index.
fn hashed_images(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let pixels: Vec<f32> = (0..shape.iter().product::<usize>() as u64)
        .map(|index| (((index * 2_654_435_761 + 12_345) % (1 << 32)) >> 8) as f32 / (1 << 24) as f32)
        .collect();
    Tensor::from_data(TensorData::new(pixels, shape), device)
}

#[test]
fn the_cifar_network_gives_pytorchs_logits_on_every_device() {
    // PyTorch 2.6 with the network of crates/twins-models/tests/golden/torch/reference_nets.py.
    const EXPECTED: [f32; 20] = [
        -4.48520, 1.94278, 4.72314, 8.35960, -3.91997, -2.72678, -3.21967, -4.98759, -1.99601, 6.30468,
        -4.64192, 1.37674, 5.81957, 6.64546, -3.88760, -3.15781, -1.40610, -5.24165, -2.32277, 6.82529,
    ];
    let Some(weights) = shared("models/cifar_resnet20.th") else { return };
    for (name, device) in devices() {
        let net = ModelConfig::new(Architecture::ResNet20, 10).init(&device).unwrap();
        let (net, _) = load_weights(net, &weights, &ImportOptions::new()).unwrap();
        for (found, expected) in logits(&net, hashed_images([2, 3, 32, 32], &device)).iter().zip(EXPECTED) {
            // Twenty layers of rounding in another order: some 1e-6 each of activations of size 10.
            assert!((found - expected).abs() < 2e-4, "{name}: {found}, expected {expected}");
        }
    }
}

#[test]
fn a_named_entry_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let Some(weights) = shared("models/cifar_resnet20.th") else { return };
    let device = Device::flex();
    let net = ModelConfig::new(Architecture::ResNet20, 10).init(&device).unwrap();
    let message =
        load_weights(net, &weights, &ImportOptions::new().with_entry("model")).unwrap_err().to_string();
    assert!(message.contains("\"model\"") && message.contains("\"state_dict\""), "{message}");
}

#[test]
fn weights_of_another_network_are_refused_with_every_difference() {
    let Some(weights) = shared("models/mnist_pgd_robust.pth") else { return };
    let device = Device::flex();
    let net = ModelConfig::new(Architecture::ResNet20, 10).init(&device).unwrap();
    let error = load_weights(net, &weights, &ImportOptions::new()).unwrap_err();
    let message = error.to_string();
    let ModelError::Mismatch { mismatch, .. } = error else { panic!("{message}") };
    assert_eq!((mismatch.missing.len(), mismatch.unexpected.len()), (97, 8), "{message}");
    assert!(message.contains("unexpected: 5.weight [100, 1568]"), "{message}");
    assert!(message.contains("is this the file's architecture?"), "{message}");
}

#[test]
fn a_truncated_checkpoint_and_one_that_is_none_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let try_file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        load_weights(mnist(&device), &path, &ImportOptions::new()).unwrap_err().to_string()
    };
    assert!(try_file("empty.pth", b"").contains("it is empty"));
    let message = try_file("picture.pth", b"\x89PNG\r\n\x1a\n and so on, for more than sixteen bytes");
    assert!(
        message.contains("no usable weight file") && message.contains("not a PyTorch checkpoint"),
        "{message}"
    );
    if let Some(weights) = shared("models/mnist_pgd_robust.pth") {
        let bytes = std::fs::read(weights).unwrap();
        for length in [20, 300, bytes.len() / 2, bytes.len() - 1] {
            let message = try_file("short.pth", &bytes[..length]);
            assert!(message.contains("short.pth"), "{length}: {message}");
            assert!(
                message.contains("truncated") || message.contains("no usable weight file"),
                "{length}: {message}"
            );
        }
    }
}

/// The entries of an MNIST network, to be damaged one by one.
fn state_dict() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let shapes: [(&str, &[usize]); 8] = [
        ("0.weight", &[16, 1, 4, 4]),
        ("0.bias", &[16]),
        ("2.weight", &[32, 16, 4, 4]),
        ("2.bias", &[32]),
        ("5.weight", &[100, 1568]),
        ("5.bias", &[100]),
        ("7.weight", &[10, 100]),
        ("7.bias", &[10]),
    ];
    let values =
        |shape: &[usize]| (0..shape.iter().product::<usize>()).map(|i| (i % 7) as f32 * 0.01).collect();
    shapes.into_iter().map(|(key, shape)| (key.to_owned(), (shape.to_vec(), values(shape)))).collect()
}

fn load(
    state: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    options: &ImportOptions,
) -> Result<Net, ModelError> {
    let raw: Vec<_> = state
        .iter()
        .map(|(key, (shape, values))| {
            (key, shape.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
        })
        .collect();
    let views =
        raw.iter().map(|(key, shape, raw)| (key, TensorView::new(Dtype::F32, shape.clone(), raw).unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    load_weights(mnist(&Device::flex()), &path, options).map(|(net, _)| net)
}

#[test]
fn missing_unexpected_and_wrongly_shaped_entries_are_all_named() {
    let mut state = state_dict();
    assert!(load(&state, &ImportOptions::new()).is_ok());
    state.remove("2.bias");
    state.insert("9.scale".into(), (vec![3, 2], vec![0.0; 6]));
    state.insert("7.weight".into(), (vec![11, 100], vec![0.0; 1100]));
    state.insert("7.bias".into(), (vec![11], vec![0.0; 11]));
    let message = load(&state, &ImportOptions::new()).unwrap_err().to_string();
    for part in [
        "1 missing, 1 unexpected, 2 of another shape",
        "missing: 2.bias [32]",
        "unexpected: 9.scale [3, 2]",
        "shape: 7.weight is [11, 100], the network needs [10, 100]",
        "shape: 7.bias is [11], the network needs [10]",
        "trained for 11 classes, not 10",
    ] {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
    let allowed = ImportOptions::new().with_allow("2.bias").with_allow("9.*").with_allow("7.*");
    assert!(load(&state, &allowed).is_ok());
}

#[test]
fn prefixes_are_stripped_whatever_they_are() {
    for prefix in ["module.", "model.", "module.model.", "backbone.net."] {
        let state = state_dict().into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect();
        load(&state, &ImportOptions::new()).unwrap_or_else(|error| panic!("{prefix}: {error}"));
    }
}

#[test]
fn values_that_are_no_weights_are_refused_by_name() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut state = state_dict();
        state.get_mut("5.bias").unwrap().1[7] = bad;
        let message = load(&state, &ImportOptions::new()).unwrap_err().to_string();
        assert!(message.contains("entry 5.bias holds 1 values that are not finite"), "{message}");
    }
}

#[test]
fn a_saved_model_is_the_same_model() {
    let device = Device::flex();
    let net = ModelConfig::new(Architecture::ResNet8, 3).with_seed(5).init(&device).unwrap();
    let card = ModelCard::new(&net, ["cat", "dog", "frog"].map(String::from).to_vec()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    save_model(&path, &net, &card).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");

    let (loaded, read) = load_model(&path, &device).unwrap();
    assert_eq!(read, card);
    let images = Tensor::<4>::ones([1, 3, 32, 32], &device) * 0.25;
    assert_eq!(logits(&net, images.clone()), logits(&loaded, images));

    let other = ModelConfig::new(Architecture::ResNet20, 3).init(&device).unwrap();
    let message = load_weights(other, &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("holds a resnet8, not a resnet20"), "{message}");
    let other = ModelConfig::new(Architecture::ResNet8, 10).init(&device).unwrap();
    let message = load_weights(other, &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("3 classes, 10 were asked for"), "{message}");
}

#[test]
fn a_model_that_cannot_be_written_leaves_nothing() {
    let device = Device::flex();
    let net = mnist(&device);
    let card = ModelCard::new(&net, (0..10).map(|digit| digit.to_string()).collect()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("taken"), "by a file").unwrap();
    let message =
        save_model(folder.path().join("taken/model.safetensors"), &net, &card).unwrap_err().to_string();
    assert!(message.contains("cannot write"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Where the variable is set, this process runs as a user whom permissions bind.
const BOUND: &str = "TWINS_TEST_BOUND";

/// Runs one test of this program again as the user `nobody`: permissions do not bind the administrator, as whom
/// containers run.
#[cfg(unix)]
fn run_as_nobody(test: &str, folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    let program = folder.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    let output = std::process::Command::new(&program)
        .args(["--exact", test, "--nocapture"])
        .env(BOUND, folder)
        .current_dir(folder)
        .uid(65_534)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read_are_told() {
    use std::os::unix::fs::PermissionsExt;

    use burn_dataset::Dataset;
    use burn_twins::data::{CifarDataset, CifarVariant, DataError, FolderDataset, MnistDataset, Part};

    let temporary;
    let folder = match std::env::var_os(BOUND) {
        Some(folder) => std::path::PathBuf::from(folder),
        None => {
            temporary = tempfile::tempdir().unwrap();
            let folder = temporary.path();
            let forbid = |name: &str, mode| {
                let path = folder.join(name);
                std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            };
            for class in ["open", "forbidden"] {
                std::fs::create_dir_all(folder.join("images").join(class)).unwrap();
                // A PNG of one white pixel is enough for the shape.
                std::fs::copy(golden_png(), folder.join("images").join(class).join("1.png")).unwrap();
            }
            std::fs::create_dir(folder.join("listed")).unwrap();
            std::fs::rename(folder.join("images/forbidden"), folder.join("listed/forbidden")).unwrap();
            for name in ["weights.pt", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "test_batch"] {
                std::fs::write(folder.join(name), b"content").unwrap();
                forbid(name, 0o000);
            }
            forbid("images/open/1.png", 0o000);
            forbid("listed/forbidden", 0o000);
            if std::fs::read(folder.join("weights.pt")).is_ok() {
                run_as_nobody("import_weights::files_that_may_not_be_read_are_told", folder);
                return;
            }
            folder.to_owned()
        }
    };

    let weights = load_weights(mnist(&Device::flex()), folder.join("weights.pt"), &ImportOptions::new());
    let error = weights.unwrap_err();
    assert!(matches!(error, ModelError::Read { .. }), "{error}");
    assert!(error.to_string().contains("weights.pt: Permission denied"), "{error}");
    let told = |error: DataError, name: &str| {
        assert!(matches!(error, DataError::Io { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("Permission denied"), "{message}");
    };
    told(MnistDataset::open(&folder, Part::Test).unwrap_err(), "t10k-images-idx3-ubyte");
    told(CifarDataset::open(&folder, CifarVariant::Cifar10, Part::Test).unwrap_err(), "test_batch");
    told(FolderDataset::open(folder.join("images")).map(|set| set.len()).unwrap_err(), "open/1.png");
    told(FolderDataset::open(folder.join("listed")).map(|set| set.len()).unwrap_err(), "listed/forbidden");
}

#[cfg(unix)]
fn golden_png() -> std::path::PathBuf {
    twins_testing::repository().join("crates/twins-data/tests/golden/jpeg/decoded/class/grey.png")
}
