//! A model file that this library saved holds both wings; a training that starts from it starts its frozen wing anew.

use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::data::{BuiltinDataset, ImageDataset, Part, Task};
use burn_twins::models::{Architecture, ModelCard, ModelConfig, Net, load_model, save_model};
use burn_twins::train::{
    AdversaryConfig, FrozenFrom, Method, ProgressDisplay, TrainConfig, Trainer, Weights,
};

fn train(config: TrainConfig, net: Net) -> Net {
    let config = TrainConfig {
        epochs: 1,
        batch_size: 16,
        adversary: AdversaryConfig { steps: 1, ..AdversaryConfig::default() },
        ..config
    };
    let data: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 60, 0));
    let trainer = Trainer::new(config).unwrap().with_progress(ProgressDisplay::Hidden);
    trainer.fit(net, data).unwrap().last
}

#[test]
fn a_training_from_a_model_file_starts_with_its_adaptive_wing_frozen() {
    let device = Device::flex();
    let net = ModelConfig::new(Architecture::TinyResNet, 10).init(&device).unwrap();
    let saved = train(TrainConfig::new(Method::At).with_learning_rate(0.05), net);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("at.safetensors");
    let classes = (0..10).map(|class| class.to_string()).collect();
    save_model(&path, &saved, &ModelCard::new(&saved, classes).unwrap()).unwrap();
    let (loaded, _) = load_model(&path, &device).unwrap();

    // A learning rate that is 0 in float32 changes no weight: what is compared is the start.
    let twins = |frozen_from| {
        let config =
            TrainConfig::new(Method::TwinsAt).with_learning_rate(1e-60).with_frozen_from(frozen_from);
        Weights::of(&train(config, loaded.clone()))
    };
    let [started, kept] = [FrozenFrom::Weights, FrozenFrom::File].map(twins);
    let saved = Weights::of(&saved);
    let mut compared = 0;
    for (name, value) in saved.tensors() {
        let Some((layer, field)) = name.rsplit_once(".frozen_") else { continue };
        let adaptive = ["", "running_"].map(|prefix| format!("{layer}.{prefix}{field}"));
        let adaptive = adaptive.iter().find_map(|name| saved.tensors().get(name)).unwrap();
        assert_ne!(adaptive, value, "{name}: the first training moved the adaptive wing");
        assert_eq!(started.tensors()[name], *adaptive, "{name}");
        assert_eq!(kept.tensors()[name], *value, "{name}");
        compared += 1;
    }
    assert!(compared > 0);
}
