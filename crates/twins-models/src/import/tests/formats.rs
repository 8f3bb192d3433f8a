//! The forms that weight files have.

use burn::module::Module;
use burn::tensor::Device;

use crate::architectures::architecture::Architecture;
use crate::architectures::golden::reduced_net;
use crate::import::load::{load_pretrained, load_weights};
use crate::import::options::ImportOptions;
use crate::import::report::WeightFormat;
use crate::import::tests::{formats, load, logits, reference};
use crate::network::config::ModelConfig;
use crate::network::normalisation::Normalisation;
use crate::network::slots::values;

#[test]
fn every_form_of_a_checkpoint_gives_the_same_network() {
    let expected = logits(&reference("mnist_cnn"), "mnist_cnn");
    let cases = [
        ("zip.pt", WeightFormat::PytorchZip, "", ""),
        ("legacy.pt", WeightFormat::PytorchLegacy, "", ""),
        ("nested.pth.tar", WeightFormat::PytorchZip, "state_dict", "state_dict.module."),
        ("whole_module.pt", WeightFormat::PytorchZip, "", "1."),
    ];
    for (file, format, entry, prefix) in cases {
        let (net, report) = load("mnist_cnn", formats(file), &ImportOptions::new()).unwrap();
        // The same bits in another container.
        assert_eq!(logits(&net, "mnist_cnn"), expected, "{file}");
        assert_eq!(
            (report.format, report.entry.as_str(), report.prefix.as_str()),
            (format, entry, prefix),
            "{file}"
        );
    }
}

#[test]
fn a_pickled_module_is_read_as_strictly_as_its_state_dict() {
    // The first layer becomes one of another part of the module.
    let options = ImportOptions::new().with_rename(r"^1\.0\.=0.0.".parse().unwrap()).with_allow("1.0.*");
    let message = load("mnist_cnn", formats("whole_module.pt"), &options).unwrap_err().to_string();
    assert!(message.contains("unexpected: 0.0.weight [2, 1, 4, 4]"), "{message}");
    // One part alone can be named.
    let (_, report) = load("mnist_cnn", formats("whole_module.pt"), &options.with_entry("1")).unwrap();
    let ignored: Vec<_> = report.ignored.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((report.entry.as_str(), ignored), ("1", vec!["0.*"]));
}

#[test]
fn half_precision_is_widened() {
    let expected = logits(&reference("mnist_cnn"), "mnist_cnn");
    let (net, _) = load("mnist_cnn", formats("half.pt"), &ImportOptions::new()).unwrap();
    for (found, expected) in logits(&net, "mnist_cnn").iter().zip(expected) {
        // Half precision keeps 11 bits of each weight, 5e-4; sums of random signs stay near that.
        assert!((found - expected).abs() < 1e-2 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn of_two_copies_the_weights_are_read_before_their_average() {
    let (_, report) = load("mnist_cnn", formats("nested.pth.tar"), &ImportOptions::new()).unwrap();
    let others: Vec<_> = report.ignored.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(others, ["ema_state_dict.*"]);
    let named = ImportOptions::new().with_entry("ema_state_dict");
    let (average, report) = load("mnist_cnn", formats("nested.pth.tar"), &named).unwrap();
    assert_eq!(report.entry, "ema_state_dict");
    assert_ne!(logits(&average, "mnist_cnn"), logits(&reference("mnist_cnn"), "mnist_cnn"));
}

#[test]
fn the_structure_of_robust_models_transfer_loads() {
    let (net, report) = load("bottleneck", formats("robust_transfer.ckpt"), &ImportOptions::new()).unwrap();
    assert_eq!((report.entry.as_str(), report.prefix.as_str()), ("model", "model.module.model."));
    let normalisation = Normalisation::imagenet();
    assert_eq!(report.normalisation.as_ref(), Some(&normalisation));
    assert_eq!(net.config().normalisation(), Some(&normalisation));
    let ignored: Vec<_> = report.ignored.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(
        ignored,
        [
            "*.num_batches_tracked",
            "model.module.attacker.*",
            "model.module.normalizer.new_mean",
            "model.module.normalizer.new_std",
            "optimizer.*",
        ]
    );
    let expected = reference("bottleneck").with_normalisation(normalisation).unwrap();
    assert_eq!(logits(&net, "bottleneck"), logits(&expected, "bottleneck"));
    // 20 normalisation layers of four values each.
    assert_eq!(report.copied_to_frozen, 80);
}

#[test]
fn a_file_that_asks_to_call_something_is_refused_by_name() {
    let message = |file| load("mnist_cnn", formats(file), &ImportOptions::new()).unwrap_err().to_string();
    let system = message("calls_system.pt");
    assert!(system.contains("posix.system") && system.contains("do not trust"), "{system}");
    let eval = message("calls_eval.pkl");
    assert!(eval.contains("builtin") && eval.contains("eval"), "{eval}");
}

#[test]
fn a_record_of_burn_loads_with_both_wings() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    for name in ["bottleneck", "wide", "mnist_cnn", "projected"] {
        let expected = reference(name);
        let path = folder.path().join(format!("{name}.bpk"));
        expected.clone().into_record().save(&path).unwrap();
        let (net, report) = load(name, &path, &ImportOptions::new()).unwrap();
        assert_eq!((report.format, report.prefix.as_str()), (WeightFormat::Burnpack, "body."));
        assert_eq!(report.copied_to_frozen, 0);
        assert_eq!(values(net.body()), values(expected.body()), "{name}");
    }
    let half = std::fs::read(folder.path().join("wide.bpk")).unwrap();
    let path = folder.path().join("half.bpk");
    std::fs::write(&path, &half[..half.len() / 2]).unwrap();
    let message =
        load_weights(reduced_net("wide", &device), &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("truncated"), "{message}");
}

#[test]
fn the_number_of_classes_is_read_from_a_record() {
    let device = Device::flex();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seven.bpk");
    let net = ModelConfig::new(Architecture::ResNet8, 7).init(&device).unwrap();
    net.clone().into_record().save(&path).unwrap();
    let config = ModelConfig::new(Architecture::ResNet8, 2);
    let (loaded, _) = load_pretrained(&config, &path, &ImportOptions::new(), &device).unwrap();
    assert_eq!(loaded.num_classes(), 7);
    assert_eq!(values(loaded.body()), values(net.body()));
}
