//! What published files hold beside the weights.

use std::path::Path;
use std::path::PathBuf;

use burn::tensor::Device;

use crate::architectures::architecture::Architecture;
use crate::architectures::golden::golden;
use crate::import::load::load_pretrained;
use crate::import::options::{ImportOptions, NormalisationSource};
use crate::import::tests::{formats, load, logits, reference};
use crate::network::config::ModelConfig;
use crate::network::normalisation::Normalisation;

/// A file with a golden network's entries behind a prefix, and the entries `more`.
fn with_more(folder: &Path, name: &str, prefix: &str, more: &[(&str, &[usize], &[f32])]) -> PathBuf {
    let bytes = std::fs::read(golden(&format!("torch/{name}.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let more: Vec<(String, Vec<usize>, Vec<u8>)> = more
        .iter()
        .map(|(key, shape, values)| {
            ((*key).to_owned(), shape.to_vec(), values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let mut entries: Vec<_> = file.iter().map(|(key, view)| (format!("{prefix}{key}"), view)).collect();
    entries.extend(more.iter().map(|(key, shape, bytes)| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes);
        (key.clone(), view.unwrap())
    }));
    let path = folder.join(format!("{name}.safetensors"));
    std::fs::write(&path, safetensors::serialize(entries, None).unwrap()).unwrap();
    path
}

#[test]
fn the_model_keeps_its_normalisation_where_asked_to() {
    let options = ImportOptions::new().with_normalisation(NormalisationSource::Model);
    let (net, report) = load("bottleneck", formats("robust_transfer.ckpt"), &options).unwrap();
    assert_eq!((net.config().normalisation(), report.normalisation), (None, None));
}

#[test]
fn the_entries_of_robustbench_load_with_their_normalisation() {
    let folder = tempfile::tempdir().unwrap();
    let (mean, std) = ([0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]);
    let (four, three) = ([1, 3, 1, 1], [3, 1, 1]);
    // Names, prefixes and shapes as RobustBench's model zoo registers them: `mu` and `sigma` of its own
    // classes, `mean` and `std` of the WideResNets of Gowal et al., and a normalising layer in front.
    let cases: [(&str, &str, [&str; 2], &[usize]); 6] = [
        ("wide", "", ["mu", "sigma"], &four),
        ("wide", "module.", ["module.mu", "module.sigma"], &four),
        ("preact", "", ["mu", "sigma"], &four),
        ("deepmind", "", ["mean", "std"], &three),
        ("deepmind", "module.0.", ["module.0.mean", "module.0.std"], &three),
        ("small_stem", "model.", ["normalize.mean", "normalize.std"], &three),
    ];
    for (name, prefix, [mean_key, std_key], shape) in cases {
        let path =
            with_more(folder.path(), name, prefix, &[(mean_key, shape, &mean), (std_key, shape, &std)]);
        let (net, report) =
            load(name, &path, &ImportOptions::new()).unwrap_or_else(|error| panic!("{error}"));
        let normalisation = Normalisation::cifar10();
        assert_eq!(report.normalisation.as_ref(), Some(&normalisation), "{name}, {prefix}");
        assert_eq!(report.prefix, prefix, "{name}");
        let expected = reference(name).with_normalisation(normalisation).unwrap();
        assert_eq!(logits(&net, name), logits(&expected, name), "{name}");
    }
}

#[test]
fn an_unknown_layer_in_a_robustbench_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A layer that another architecture of the zoo adds.
    let path = with_more(folder.path(), "wide", "", &[("layer_scale.weight", &[3], &[1.0; 3])]);
    let message = load("wide", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("unexpected: layer_scale.weight [3]"), "{message}");
}

#[test]
fn blocks_that_published_code_never_runs_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trades.safetensors");
    let bytes = std::fs::read(golden("torch/wide.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut entries: Vec<_> = file.iter().map(|(key, view)| (key.to_owned(), view)).collect();
    let copies: Vec<_> = entries.iter().filter(|(key, _)| key.starts_with("block1.")).cloned().collect();
    entries.extend(copies.into_iter().map(|(key, view)| (format!("sub_{key}"), view)));
    std::fs::write(&path, safetensors::serialize(entries, None).unwrap()).unwrap();
    let (_, report) = load("wide", &path, &ImportOptions::new()).unwrap();
    assert!(report.ignored.iter().any(|entry| entry.key == "sub_block1.*"), "{report}");
}

#[test]
fn the_number_of_classes_is_read_from_the_head() {
    let config = ModelConfig::new(Architecture::MnistCnn, 10);
    // The reduced file does not fit the published widths, but the head's size was found.
    let error =
        load_pretrained(&config, formats("zip.pt"), &ImportOptions::new(), &Device::flex()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("shape: 7.weight is [5, 8], the network needs [5, 100]"), "{message}");
}
