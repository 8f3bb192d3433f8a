//! Data sets and weights at the edge of what can be trained and evaluated; docs/reliability.md has a table of them.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use twins_attack::{AttackError, Loss, Norm, ThreatModel};
use twins_data::{ImageDataset, Subset, TensorDataset};
use twins_nn::TwinsModule;
use twins_train::{
    AdversaryConfig, At, EpsilonSchedule, EvaluationProtocol, ExistingRun, FrozenAt, ImageClassifier, Mart,
    Method, Objective, ProtocolConfig, Standard, Trades, TrainConfig, TrainError, Trained, TrainingBatch,
    TwinsAt, TwinsTrades, ValidationConfig, Weights, evaluate,
};
use twins_train_testing::{Net, Squares, config, trainer};

fn without_validation(method: Method) -> TrainConfig {
    config(method).with_validation(ValidationConfig::none())
}

fn all_finite(trained: &Trained<Net>) -> bool {
    let finite = |data: &TensorData| data.try_to_vec::<f32>().unwrap().iter().all(|value| value.is_finite());
    Weights::of(&trained.last).tensors().values().all(finite)
}

/// Grey images, one after the other with the next of the first `labels` classes.
fn grey(level: u8, images: usize, labels: usize) -> Arc<dyn ImageDataset> {
    let labels = (0..images).map(|image| image % labels).collect();
    let data = TensorDataset::from_bytes([1, 8, 8], vec![level; 64 * images], labels).unwrap();
    Arc::new(data.with_classes(["a", "b", "c", "d"]).unwrap())
}

#[test]
fn images_that_are_all_equal_train_to_finite_weights() {
    for method in [Method::Standard, Method::At, Method::TwinsAt] {
        for level in [0, 128, 255] {
            let trained =
                trainer(without_validation(method)).fit(Net::new(4, 1), grey(level, 24, 4)).unwrap();
            assert!(all_finite(&trained), "{method}, level {level}");
        }
    }
}

/// A network whose weights are multiplied by a factor.
fn scaled(factor: f32) -> Net {
    let mut net = Net::new(4, 1);
    net.conv.weight = net.conv.weight.map(|weight| weight * factor);
    net.head.weight = net.head.weight.map(|weight| weight * factor);
    net
}

#[test]
fn weights_that_are_zero_or_denormal_stay_finite() {
    for method in [Method::At, Method::TwinsAt] {
        for factor in [0.0, 1e-40] {
            let net = scaled(factor);
            let weights = Weights::of(&net);
            assert!(weights.tensors()["conv.weight"].iter::<f32>().all(|weight| weight.abs() <= factor));
            let trained = trainer(without_validation(method)).fit(net, Squares::dataset(90, 1)).unwrap();
            assert!(all_finite(&trained), "{method}, {factor}");
        }
    }
}

/// The largest logits are about ±1e30.
#[test]
fn losses_and_their_gradients_are_finite_for_huge_logits() {
    let mut net = Net::new(4, 1);
    net.head.weight = net.head.weight.map(|weight| weight * 1e30);
    let net = net.train();
    let device = Device::flex().autodiff();
    let values =
        |shift: usize| (0..8 * 64).map(|value| ((7 * value + shift) % 64) as f32 / 64.0).collect::<Vec<_>>();
    let images = |shift| Tensor::<1>::from_floats(values(shift).as_slice(), &device).reshape([8, 1, 8, 8]);
    let labels = Tensor::<1, Int>::from_ints([0, 1, 2, 3, 0, 1, 2, 3], &device);
    let batch = TrainingBatch::new(images(0), images(5), labels);
    let largest = net.logits(images(0)).abs().max().into_scalar::<f32>();
    assert!(largest > 1e29 && largest < 1e31, "{largest}");
    let objectives: [(&str, Box<dyn Objective<Net>>); 7] = [
        ("standard", Box::new(Standard)),
        ("at", Box::new(At)),
        ("frozen-at", Box::new(FrozenAt)),
        ("trades", Box::new(Trades { beta: 6.0 })),
        ("mart", Box::new(Mart { beta: 5.0 })),
        ("twins-at", Box::new(TwinsAt { lambda: 1.0 })),
        ("twins-trades", Box::new(TwinsTrades { beta: 6.0, lambda: 1.0 })),
    ];
    for (name, objective) in objectives {
        let loss = objective.loss(&net.clone().with_wing(objective.wing()), &batch).total;
        let value = loss.clone().into_scalar::<f32>();
        // Some images are misclassified by a margin of this order.
        assert!(value.is_finite() && value > 1e28, "{name}: {value}");
        let gradient = net.head.bias.as_ref().unwrap().val().grad(&loss.backward()).unwrap();
        let gradient = gradient.into_data().try_to_vec::<f32>().unwrap();
        assert!(gradient.iter().all(|value| value.is_finite()), "{name}: {gradient:?}");
        assert!(gradient.iter().any(|value| *value != 0.0), "{name}");
    }
}

/// The gradients of the convolution are products with weights of 1e30, whose squares overflow in a norm.
#[test]
fn a_training_on_huge_logits_ends_with_an_error() {
    for method in Method::ALL {
        let mut net = Net::new(4, 1);
        net.head.weight = net.head.weight.map(|weight| weight * 1e30);
        let trained = trainer(without_validation(method)).fit(net, Squares::dataset(90, 1));
        let message = trained.unwrap_err().to_string();
        let expected = "the gradient of \"conv.weight\" has norm inf at step 1 of epoch 1";
        assert!(message.starts_with(expected), "{method}: {message}");
    }
}

#[test]
fn radii_at_the_ends_of_their_range_train_to_finite_weights() {
    for method in [Method::At, Method::Trades, Method::TwinsAt] {
        for epsilon in [0.0, 1e-12, 1.0] {
            let adversary = AdversaryConfig::new(Norm::Linf, epsilon, 2, epsilon / 2.0);
            let config = without_validation(method).with_adversary(adversary);
            let trained = trainer(config).fit(Net::new(4, 1), Squares::dataset(90, 1)).unwrap();
            assert!(all_finite(&trained), "{method}, {epsilon}");
        }
    }
}

#[test]
fn a_class_without_images_is_no_obstacle() {
    let squares = Squares::dataset(120, 1);
    // The last class of four never occurs.
    let three = (0..120).filter(|&index| squares.label(index).unwrap() < 3).collect();
    let three: Arc<dyn ImageDataset> = Arc::new(Subset::new(squares, three).unwrap());
    for method in [Method::At, Method::TwinsAt] {
        let trained = trainer(config(method)).fit(Net::new(4, 1), three.clone()).unwrap();
        assert!(all_finite(&trained), "{method}");
        let measured = evaluate(&trained.best, &three, None, 16).unwrap();
        assert_eq!(measured.clean.total, 90, "{method}");
    }
    // Nor is one that is the only one.
    let trained = trainer(without_validation(Method::TwinsAt)).fit(Net::new(4, 1), grey(7, 16, 1)).unwrap();
    assert!(all_finite(&trained));
}

#[test]
fn too_few_images_are_an_error() {
    let fit = |method, images| {
        let trained = trainer(without_validation(method)).fit(Net::new(4, 1), Squares::dataset(images, 1));
        trained.map(|trained| all_finite(&trained)).map_err(|error| error.to_string())
    };
    let message = fit(Method::At, 1).unwrap_err();
    assert!(message.contains("1 images are left to train on") && message.contains("at least 2"), "{message}");
    // Two are enough where no statistics are computed from them; otherwise, four per wing.
    assert_eq!(fit(Method::FrozenAt, 2), Ok(true));
    for (method, smallest) in [(Method::At, 4), (Method::TwinsAt, 8)] {
        let message = fit(method, smallest - 1).unwrap_err();
        assert!(message.contains("for each of"), "{method}: {message}");
        assert_eq!(fit(method, smallest), Ok(true), "{method}");
    }
}

#[test]
fn a_loss_that_needs_more_classes_is_an_error_before_the_training() {
    let squares = Squares::dataset(120, 1);
    let two = (0..120).filter(|&index| squares.label(index).unwrap() < 2).collect();
    let two: Arc<dyn ImageDataset> = Arc::new(Subset::new(squares, two).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let protocol = ProtocolConfig { loss: Loss::Dlr, ..ProtocolConfig::default() };
    let validation = ValidationConfig { protocol, ..ValidationConfig::default() };
    let adversary = AdversaryConfig::default().with_loss(Loss::Dlr);
    // The first epoch has no adversary.
    let later = EpsilonSchedule::new(1.0).with_clean_epochs(1.0);
    for (config, part) in [
        (config(Method::At).with_validation(validation), "validation.protocol: the DLR loss needs"),
        (
            config(Method::At).with_adversary(adversary.clone()).with_epsilon_schedule(later),
            "the adversary: the DLR loss needs",
        ),
    ] {
        let trainer = trainer(config).with_run_directory(&run, ExistingRun::Refuse);
        let message = trainer.fit(Net::new(2, 1), two.clone()).unwrap_err().to_string();
        assert!(message.starts_with(part), "{message}");
        assert!(!run.exists());
    }
    let unused = without_validation(Method::Standard).with_epochs(1).with_adversary(adversary);
    trainer(unused).fit(Net::new(2, 1), two).unwrap();
}

#[test]
fn images_that_the_model_does_not_take_are_an_error_before_the_first_step() {
    let colour = TensorDataset::from_bytes([3, 8, 8], vec![7; 16 * 3 * 64], vec![0; 16]).unwrap();
    let colour: Arc<dyn ImageDataset> = Arc::new(colour);
    let trained = trainer(config(Method::At)).fit(Net::new(4, 1), colour.clone());
    let validated = trainer(config(Method::At)).with_validation_set(colour);
    for outcome in [trained, validated.fit(Net::new(4, 1), Squares::dataset(90, 1))] {
        let message = outcome.unwrap_err().to_string();
        assert!(message.contains("on an image of shape [3, 8, 8], before the first step"), "{message}");
    }
}

#[test]
fn a_single_image_is_evaluated() {
    let one = Squares::dataset(1, 1);
    let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 0.05).unwrap(), 5);
    let measured = evaluate(&Net::new(4, 1), &one, Some(&protocol), 16).unwrap();
    assert_eq!((measured.clean.total, measured.robust.unwrap().total), (1, 1));
}

/// A model that returns the mean of the logits of a batch.
#[derive(Module, Debug)]
struct Mean {
    net: Net,
}

impl ImageClassifier for Mean {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.net.logits(images).mean_dim(0)
    }
}

/// Without an attack, nothing else would look at them: the accuracy would be low, or that of fewer images.
#[test]
fn labels_without_a_class_and_logits_without_an_image_are_refused() {
    let squares = Squares::dataset(40, 1);
    let error = evaluate(&Net::new(3, 1), &squares, None, 16).unwrap_err();
    assert!(
        matches!(error, TrainError::Attack(AttackError::Label { sample: 3, label: 3, classes: 3 })),
        "{error}"
    );
    let error = evaluate(&Mean { net: Net::new(4, 1) }, &squares, None, 16).unwrap_err();
    assert!(matches!(error, TrainError::Attack(AttackError::LogitRows { rows: 1, images: 16 })), "{error}");
}

/// The class with the first NaN must not count as a prediction: a quarter of the images would be correct.
#[test]
fn logits_that_are_not_finite_are_misclassified() {
    let squares = Squares::dataset(40, 2);
    let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 0.05).unwrap(), 5);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for class in 0..4 {
            let mut net = Net::new(4, 1);
            let place = class..class + 1;
            net.head.bias =
                net.head.bias.map(|bias| bias.map(|bias| bias.slice_fill([place.clone()], value)));
            let measured = evaluate(&net.valid(), &squares, Some(&protocol), 16).unwrap();
            assert_eq!((measured.clean.correct, measured.clean.total), (0, 40), "{value} in class {class}");
            assert_eq!(measured.robust.unwrap().correct, 0, "{value} in class {class}");
        }
    }
}

/// Divides the logits by the distance of the image from white.
#[derive(Module, Debug)]
struct Dazzled {
    net: Net,
}

impl ImageClassifier for Dazzled {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        let count = images.dims()[0];
        let distance = images.clone().mean_dims(&[1, 2, 3]).reshape([count, 1]).neg().add_scalar(1.0);
        self.net.logits(images) / distance
    }
}

#[test]
fn logits_that_are_not_finite_do_not_affect_other_images() {
    let model = Dazzled { net: Net::new(4, 1) };
    // Four images of each level, one of each class. The attack is too weak to break the one of the class that the network sees.
    let pixels = [64, 255, 128].map(|level| [level; 4 * 64]).concat();
    let data = TensorDataset::from_bytes([1, 8, 8], pixels, [0, 1, 2, 3].repeat(3)).unwrap();
    let data: Arc<dyn ImageDataset> = Arc::new(data.with_classes(["a", "b", "c", "d"]).unwrap());
    let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 1e-6).unwrap(), 2);
    for protocol in [protocol.clone(), protocol.with_loss(Loss::Margin)] {
        let measured = evaluate(&model, &data, Some(&protocol), 16).unwrap();
        let robust = measured.robust.unwrap();
        assert_eq!((measured.clean.correct, robust.correct, robust.total), (2, 2, 12), "{protocol}");
    }
}
