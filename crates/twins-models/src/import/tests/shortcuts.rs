//! The two forms of shortcuts.

use burn::tensor::Device;

use crate::architectures::architecture::Architecture;
use crate::architectures::golden::{golden, reduced_net};
use crate::architectures::shortcuts::Shortcuts;
use crate::import::load::{load_pretrained, load_weights};
use crate::import::options::ImportOptions;
use crate::import::tests::{load, logits, reference, respelled};
use crate::model_file::card::ModelCard;
use crate::model_file::file::{load_model, save_model};
use crate::network::config::ModelConfig;
use crate::network::slots::values;

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
fn chosen_shortcuts_refuse_weights_of_the_other_form() {
    let with = |shortcuts| reduced_net("cifar", &Device::flex()).with_shortcuts(shortcuts);
    let import = |net, name: &str| {
        load_weights(net, golden(&format!("torch/{name}.safetensors")), &ImportOptions::new())
    };
    let message = import(with(Shortcuts::Padded), "projected").unwrap_err().to_string();
    assert!(message.contains("unexpected: layer2.0.downsample.0.weight [8, 4, 1, 1]"), "{message}");
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
