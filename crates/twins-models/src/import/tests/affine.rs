//! Networks whose wings share gamma and beta.

use std::collections::HashMap;

use burn::tensor::Device;
use twins_nn::Affine;

use crate::architectures::architecture::Architecture;
use crate::error::ModelError;
use crate::import::load::load_pretrained;
use crate::import::options::ImportOptions;
use crate::model_file::card::ModelCard;
use crate::model_file::file::{load_model, save_model};
use crate::network::config::ModelConfig;
use crate::network::net::Net;
use crate::network::slots::{slots, values};

fn config() -> ModelConfig {
    ModelConfig::new(Architecture::ResNet8, 2)
}

/// A two-wing network in which no two values are equal.
fn two_wings() -> Net {
    let net = config().init(&Device::flex()).unwrap();
    let mut next = 0.0;
    let mut all = HashMap::new();
    for slot in slots(net.body()) {
        let count: usize = slot.shape.iter().product();
        all.insert(
            slot.path,
            (0..count)
                .map(|_| {
                    next += 1e-4;
                    next
                })
                .collect(),
        );
    }
    net.rebuilt(all)
}

fn saved(net: &Net, folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join("model.safetensors");
    let card = ModelCard::new(net, vec!["cat".to_owned(), "dog".to_owned()]).unwrap();
    save_model(&path, net, &card).unwrap();
    path
}

#[test]
fn a_loaded_network_can_share_the_adaptive_wings_gamma_and_beta() {
    let net = two_wings();
    let own = values(net.body());
    let shared = net.clone().with_affine(Affine::Shared).unwrap();
    let kept = values(shared.body());
    // 7 layers lose a gamma and a beta each, and all others keep their values.
    assert_eq!(own.len() - kept.len(), 14);
    assert!(kept.iter().all(|(path, value)| own[path] == *value));
    assert!(!kept.contains_key("stem_norm.frozen_gamma") && kept.contains_key("stem_norm.frozen_mean"));
    // The other way round, the frozen wing gets a copy.
    let again = values(shared.with_affine(Affine::PerWing).unwrap().body());
    assert_eq!(again.len(), own.len());
    assert_eq!(again["stem_norm.frozen_gamma"], own["stem_norm.gamma"]);
    assert_eq!(again["stem_norm.frozen_mean"], own["stem_norm.frozen_mean"]);
}

#[test]
fn a_model_file_keeps_the_form_unless_another_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::flex();
    let shared = two_wings().with_affine(Affine::Shared).unwrap();
    let path = saved(&shared, &folder);
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.names().iter().all(|name| !name.ends_with("frozen_weight")));

    let (loaded, card) = load_model(&path, &device).unwrap();
    assert_eq!((loaded.affine(), card.config().affine()), (Affine::Shared, Some(Affine::Shared)));
    assert_eq!(values(loaded.body()), values(shared.body()));
    // A caller who names only the architecture gets the file's form.
    let load =
        |config: ModelConfig| load_pretrained(&config, &path, &ImportOptions::new(), &device).unwrap().0;
    let loaded = load(config());
    assert_eq!(loaded.affine(), Affine::Shared);
    assert_eq!(loaded.config(), shared.config());
    let loaded = load(config().with_affine(Some(Affine::PerWing)));
    assert_eq!(loaded.affine(), Affine::PerWing);
    assert_eq!(values(loaded.body())["stem_norm.frozen_beta"], values(shared.body())["stem_norm.beta"]);

    let net = two_wings();
    let path = saved(&net, &folder);
    let load =
        |config: ModelConfig| load_pretrained(&config, &path, &ImportOptions::new(), &device).unwrap().0;
    assert_eq!(values(load(config()).body()), values(net.body()));
    let loaded = load(config().with_affine(Some(Affine::Shared)));
    assert_eq!(values(loaded.body()), values(shared.body()));
    assert_eq!(loaded.config().affine(), Some(Affine::Shared));
}

#[test]
fn weights_of_other_programs_fill_either_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.safetensors");
    let net = two_wings();
    crate::export::weights::export_weights(&path, &net, crate::export::weights::Wings::Adaptive).unwrap();
    let config = config().with_affine(Some(Affine::Shared));
    let (loaded, report) = load_pretrained(&config, &path, &ImportOptions::new(), &Device::flex()).unwrap();
    assert_eq!(loaded.affine(), Affine::Shared);
    let (loaded, own) = (values(loaded.body()), values(net.body()));
    assert_eq!(loaded["stem_norm.gamma"], own["stem_norm.gamma"]);
    assert_eq!(loaded["stem_norm.frozen_mean"], own["stem_norm.running_mean"]);
    // Means and variances of seven layers; there is no gamma or beta to copy.
    assert_eq!(report.copied_to_frozen, 14);
}

#[test]
fn a_network_without_batch_normalisation_has_nothing_to_share() {
    for arch in [Architecture::ConvNeXtTiny, Architecture::MnistCnn] {
        let config = ModelConfig::new(arch, 10);
        let error = config.clone().with_affine(Some(Affine::Shared)).init(&Device::flex()).unwrap_err();
        assert!(matches!(error, ModelError::NoBatchNorm { .. }), "{error}");
        let net = config.init(&Device::flex()).unwrap();
        assert!(net.clone().with_affine(Affine::PerWing).is_ok());
        assert!(net.with_affine(Affine::Shared).unwrap_err().to_string().contains(&arch.to_string()));
    }
}

#[test]
fn configurations_say_nothing_of_gamma_and_beta_by_default() {
    let json = serde_json::to_string(&config()).unwrap();
    assert!(!json.contains("affine"), "{json}");
    let shared = config().with_affine(Some(Affine::Shared));
    let json = serde_json::to_string(&shared).unwrap();
    assert!(json.contains(r#""affine":"shared""#), "{json}");
    assert_eq!(serde_json::from_str::<ModelConfig>(&json).unwrap(), shared);
}
