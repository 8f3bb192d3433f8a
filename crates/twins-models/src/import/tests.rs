//! Imports of the files of `tests/golden/formats`, which hold the weights of `tests/golden/torch`.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;

use super::*;
use crate::golden::{golden, images, reduced, reduced_net};
use crate::{
    Architecture, ModelCard, ModelConfig, ModelError, Net, Normalisation, Shortcuts, load_model, save_model,
};

fn logits(net: &Net, name: &str) -> Vec<f32> {
    net.forward(images(reduced(name).2, &Device::flex())).into_data().try_to_vec().unwrap()
}

fn load(
    name: &str,
    path: impl AsRef<Path>,
    options: &ImportOptions,
) -> Result<(Net, ImportReport), ModelError> {
    load_weights(reduced_net(name, &Device::flex()), path, options)
}

/// The reduced network with the weights of the safetensors file.
fn reference(name: &str) -> Net {
    load(name, golden(&format!("torch/{name}.safetensors")), &ImportOptions::new()).unwrap().0
}

fn formats(file: &str) -> PathBuf {
    golden("formats").join(file)
}

#[test]
fn every_form_of_a_checkpoint_gives_the_same_network() {
    let expected = logits(&reference("mnist_cnn"), "mnist_cnn");
    let cases = [
        ("zip.pt", WeightFormat::PytorchZip, "", ""),
        ("legacy.pt", WeightFormat::PytorchLegacy, "", ""),
        ("nested.pth.tar", WeightFormat::PytorchZip, "state_dict", "state_dict.module."),
        ("whole_module.pt", WeightFormat::PytorchZip, "1", "1."),
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
fn the_model_keeps_its_normalisation_where_asked_to() {
    let options = ImportOptions::new().with_normalisation(NormalisationSource::Model);
    let (net, report) = load("bottleneck", formats("robust_transfer.ckpt"), &options).unwrap();
    assert_eq!((net.config().normalisation(), report.normalisation), (None, None));
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
fn an_import_does_not_touch_clones() {
    let device = Device::flex();
    let net = reduced_net("cifar", &device);
    let clone = net.clone();
    let before = logits(&clone, "cifar");
    let (loaded, _) = load_weights(net, golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
    assert_ne!(logits(&loaded, "cifar"), before);
    assert_eq!(logits(&clone, "cifar"), before);
}

#[test]
fn allowed_entries_keep_their_initial_values() {
    let device = Device::flex();
    let net = reduced_net("cifar", &device).with_new_head(7, 3).unwrap();
    let head = net.body().head().weight.val().into_data();
    let options = ImportOptions::new().with_allow("linear.*");
    let (net, report) = load_weights(net, golden("torch/cifar.safetensors"), &options).unwrap();
    assert_eq!(report.kept, ["head.weight", "head.bias"]);
    assert_eq!(net.body().head().weight.val().into_data(), head);
    assert_eq!(net.num_classes(), 7);
}

#[test]
fn negative_variances_are_refused_by_name() {
    let file = std::fs::read(golden("torch/cifar.safetensors")).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&file).unwrap();
    let key = "layer1.0.bn1.running_var";
    let start = parsed.tensor(key).unwrap().data().as_ptr() as usize - file.as_ptr() as usize;
    let mut damaged = file.clone();
    damaged[start..start + 4].copy_from_slice(&(-0.5f32).to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.safetensors");
    std::fs::write(&path, damaged).unwrap();
    let message = load("cifar", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains(key) && message.contains("negative variance, -0.5"), "{message}");
}

#[test]
fn weights_reach_a_tracked_network_as_tracked_parameters() {
    let device = Device::flex().autodiff();
    let net = reduced_net("cifar", &device);
    let (net, _) = load_weights(net, golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
    assert!(net.body().head().weight.val().is_require_grad());
    let grads = net.forward(images(reduced("cifar").2, &device)).sum().backward();
    assert!(net.body().head().weight.val().grad(&grads).is_some());
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

/// A file with a golden network's entries under other names.
fn respelled(folder: &Path, name: &str, spelling: impl Fn(&str) -> String) -> PathBuf {
    let bytes = std::fs::read(golden(&format!("torch/{name}.safetensors"))).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let path = folder.join(format!("{name}.safetensors"));
    let entries = file.iter().map(|(key, view)| (spelling(key), view));
    std::fs::write(&path, safetensors::serialize(entries, None).unwrap()).unwrap();
    path
}

#[test]
fn projection_shortcuts_are_found_in_the_file_whatever_its_spelling() {
    let folder = tempfile::tempdir().unwrap();
    let expected = logits(&reference("projected"), "projected");
    let underscored =
        |key: &str| key.replace("layer", "stage_").replace("conv", "conv_").replace("bn", "bn_");
    let cifar = |key: &str| key.replace("downsample", "shortcut").replace("fc.", "linear.");
    let spellings: [&dyn Fn(&str) -> String; 4] =
        [&str::to_owned, &underscored, &cifar, &|key| format!("module.{key}")];
    for spelling in spellings {
        let path = respelled(folder.path(), "projected", spelling);
        let (net, report) = load("projected", &path, &ImportOptions::new()).unwrap();
        assert_eq!(net.config().shortcuts(), Some(Shortcuts::Projected));
        assert!(report.to_string().contains("shortcuts: projected"), "{report}");
        assert_eq!(logits(&net, "projected"), expected);
    }
    let (net, report) = load("cifar", golden("torch/cifar.safetensors"), &ImportOptions::new()).unwrap();
    assert_eq!((net.config().shortcuts(), report.shortcuts), (None, None));
}

#[test]
fn names_are_translated_by_regular_expressions_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let spelling =
        |key: &str| format!("backbone.{}", key.replace("layer", "block_").replace("conv", "convolution"));
    let path = respelled(folder.path(), "projected", spelling);
    let message = load("projected", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("If the names alone differ, rename them"), "{message}");
    let options = |renames: &[&str]| {
        renames.iter().fold(ImportOptions::new(), |options, text| options.with_rename(text.parse().unwrap()))
    };
    // The second finds its names because of the first.
    let renames = options(&[r"^backbone\.=", r"^block_(\d)=layer$1", "convolution=conv"]);
    let (net, report) = load("projected", &path, &renames).unwrap();
    assert_eq!(logits(&net, "projected"), logits(&reference("projected"), "projected"));
    let entry = report.mapped.iter().find(|entry| entry.key == "layer2.0.downsample.0.weight").unwrap();
    assert_eq!(entry.renamed_from.as_deref(), Some("backbone.block_2.0.downsample.0.weight"));
    assert!(report.to_string().contains("backbone.fc.bias = fc.bias [5] -> head.bias"), "{report}");
    assert!(
        load("projected", &path, &options(&["^block_=layer", r"^backbone\.=", "convolution=conv"])).is_err()
    );
}

#[test]
fn two_entries_of_the_same_new_name_are_refused_by_their_own() {
    let options = ImportOptions::new().with_rename("conv[12]=conv".parse().unwrap());
    let message = load("cifar", golden("torch/cifar.safetensors"), &options).unwrap_err().to_string();
    assert!(
        message.contains(
            "layer1.0.conv1.weight and layer1.0.conv2.weight would both be named layer1.0.conv.weight"
        ),
        "{message}"
    );
    // An entry that keeps its name counts too.
    let options = ImportOptions::new().with_rename("conv2=conv1".parse().unwrap());
    let message = load("cifar", golden("torch/cifar.safetensors"), &options).unwrap_err().to_string();
    assert!(message.contains("would both be named layer1.0.conv1.weight"), "{message}");
}

#[test]
fn names_begin_inside_their_dictionary() {
    let renames = ["^module\\.0=module.x", "^module\\.x=module.0"];
    let options =
        renames.iter().fold(ImportOptions::new(), |options, text| options.with_rename(text.parse().unwrap()));
    let (_, report) = load("mnist_cnn", formats("nested.pth.tar"), &options).unwrap();
    assert_eq!((report.entry.as_str(), report.prefix.as_str()), ("state_dict", "state_dict.module."));
    // The first rename alone shows that the expression matches there.
    let options = ImportOptions::new().with_rename(renames[0].parse().unwrap());
    let message = load("mnist_cnn", formats("nested.pth.tar"), &options).unwrap_err().to_string();
    assert!(message.contains("left over: state_dict.module.x.weight"), "{message}");
}

#[test]
fn chosen_shortcuts_refuse_weights_of_the_other_form() {
    let with = |shortcuts| reduced_net("cifar", &Device::flex()).with_shortcuts(shortcuts);
    let import = |net, name: &str| {
        load_weights(net, golden(&format!("torch/{name}.safetensors")), &ImportOptions::new())
    };
    let message = import(with(Shortcuts::Padded), "projected").unwrap_err().to_string();
    assert!(message.contains("left over: layer2.0.downsample.0.weight [8, 4, 1, 1]"), "{message}");
    let message = import(with(Shortcuts::Projected), "cifar").unwrap_err().to_string();
    assert!(message.contains("missing: layer2.0.shortcut.0.weight [8, 4, 1, 1]"), "{message}");
    assert!(import(with(Shortcuts::Projected), "projected").is_ok());
}

#[test]
fn a_model_file_says_that_its_network_has_projection_shortcuts() {
    let device = Device::flex();
    let config = ModelConfig::new(Architecture::ResNet8, 2).with_shortcuts(Some(Shortcuts::Projected));
    let net = config.init(&device).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let card = ModelCard::new(&net, vec!["cat".to_owned(), "dog".to_owned()]).unwrap();
    save_model(&path, &net, &card).unwrap();
    let (loaded, card) = load_model(&path, &device).unwrap();
    assert_eq!(card.config().shortcuts(), Some(Shortcuts::Projected));
    assert_eq!(values(loaded.body()), values(net.body()));
    // A caller who names only the architecture gets the file's form.
    let plain = ModelConfig::new(Architecture::ResNet8, 2);
    let (loaded, _) = load_pretrained(&plain, &path, &ImportOptions::new(), &device).unwrap();
    assert_eq!(loaded.config(), net.config());
    // Files of padded networks have no word about it, as before.
    let json = serde_json::to_string(&plain).unwrap();
    assert!(!json.contains("shortcuts"), "{json}");
}

#[test]
fn an_allowed_entry_keeps_its_value_in_a_network_that_gets_projections() {
    let net = reduced_net("projected", &Device::flex()).with_new_head(7, 3).unwrap();
    let head = net.body().head().weight.val().into_data();
    let options = ImportOptions::new().with_allow("fc.*");
    let (net, report) = load_weights(net, golden("torch/projected.safetensors"), &options).unwrap();
    assert_eq!(report.kept, ["head.weight", "head.bias"]);
    assert_eq!(net.body().head().weight.val().into_data(), head);
}

#[test]
fn an_unknown_layer_in_a_robustbench_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    // A layer that another architecture of the zoo adds.
    let path = with_more(folder.path(), "wide", "", &[("layer_scale.weight", &[3], &[1.0; 3])]);
    let message = load("wide", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("left over: layer_scale.weight [3]"), "{message}");
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
