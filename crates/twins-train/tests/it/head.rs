//! Which layer is the head: the model says so.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use twins_nn::HeadError;
use twins_train::{
    AutoLora, AutoLoraConfig, ImageClassifier, Method, Objective, ProgressDisplay, TrainConfig, TrainError,
    Trainer, Tuning, Weights,
};
use twins_train_testing::{Net, Squares, config};

/// A model whose head is declared first, and whose last linear layer, of the same size, is an auxiliary one.
#[derive(Module, Debug)]
struct Auxiliary {
    classifier: Linear,
    backbone: Net,
    rotation: Linear,
}

impl Auxiliary {
    fn new() -> Self {
        let linear = || LinearConfig::new(4, 4).init(&Device::flex());
        Self { classifier: linear(), backbone: Net::new(4, 1), rotation: linear() }
    }
}

impl ImageClassifier for Auxiliary {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let features = self.backbone.logits(images);
        // So that it has a gradient.
        let rotation = self.rotation.forward(features.clone()).sum_dim(1);
        self.classifier.forward(features) * (rotation + 1.0)
    }
}

/// The same, and it says which layer is its head.
#[derive(Module, Debug)]
struct Named {
    model: Auxiliary,
    #[module(skip)]
    path: String,
}

impl Named {
    fn new(path: &str) -> Self {
        Self { model: Auxiliary::new(), path: path.to_owned() }
    }
}

impl ImageClassifier for Named {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.model.logits(images)
    }

    fn head(&self) -> Result<String, HeadError> {
        Ok(self.path.clone())
    }
}

fn fit<M: ImageClassifier>(config: TrainConfig, model: M) -> Result<M, TrainError> {
    let trainer = Trainer::new(config.with_epochs(1))?.with_progress(ProgressDisplay::Hidden);
    Ok(trainer.fit(model, Squares::dataset(90, 1))?.last)
}

fn probe() -> TrainConfig {
    config(Method::At).with_tuning(Tuning::LinearProbe)
}

#[test]
fn a_model_with_an_auxiliary_layer_is_refused_where_the_head_is_needed() {
    for config in [probe(), config(Method::AutoLora)] {
        let message = fit(config, Auxiliary::new()).unwrap_err().to_string();
        for part in
            ["classifier (4 → 4)", "backbone.head (24 → 4)", "rotation (4 → 4)", "ImageClassifier::head"]
        {
            assert!(message.contains(part), "{message}");
        }
    }
    // Nothing else asks for it.
    fit(config(Method::TwinsAt), Auxiliary::new()).unwrap();
}

#[test]
fn a_probe_trains_the_head_that_the_model_names() {
    let model = Named::new("model.classifier");
    let before = Weights::of(&model);
    let after = Weights::of(&fit(probe(), model).unwrap());
    let pairs = before.tensors().iter().zip(after.tensors());
    let changed: Vec<&String> = pairs.filter(|(a, b)| a.1 != b.1).map(|(a, _)| a.0).collect();
    assert_eq!(changed, ["model.classifier.bias", "model.classifier.weight"]);
}

#[test]
fn the_branch_leaves_the_head_that_the_model_names_alone() {
    let objective = AutoLora::new(AutoLoraConfig::new(2));
    let factors = objective.parameters(&Named::new("model.classifier").train()).unwrap();
    let changed = |path: &str| factors.get(&format!("model.{path}.weight.a")).is_some();
    assert!(!changed("classifier"));
    assert!(changed("rotation") && changed("backbone.head") && changed("backbone.conv"));
    fit(config(Method::AutoLora), Named::new("model.classifier")).unwrap();
}

#[test]
fn a_head_that_the_model_does_not_have_is_named() {
    let error = fit(probe(), Named::new("model.fc")).unwrap_err();
    assert!(matches!(error, TrainError::NoSuchHead { .. }), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("\"model.fc\"") && message.contains("model.classifier, model.backbone.conv"),
        "{message}"
    );
}
