//! Trainings and evaluations in several threads of one process: each gives the bits that it gives alone.

use std::sync::Arc;
use std::thread;

use burn::tensor::Tensor;
use twins_attack::{AutoAttackConfig, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version};
use twins_data::{ImageDataset, collate};
use twins_nn::ImageClassifier;
use twins_train::{Evaluation, EvaluationProtocol, Method, Weights, evaluate};
use twins_train_testing::{Net, Squares, config, trainer};

fn trained(method: Method, net: Net) -> Weights {
    let trained = trainer(config(method)).fit(net, Squares::dataset(90, 1)).unwrap();
    Weights::of(&trained.last)
}

fn evaluated(net: &Net) -> Evaluation {
    let images: Arc<dyn ImageDataset> = Squares::dataset(40, 2);
    let protocol = EvaluationProtocol::new(ThreatModel::new(Norm::Linf, 0.05).unwrap(), 5);
    evaluate(net, &images, Some(&protocol), 16).unwrap()
}

/// The adversarial examples and the records of AutoAttack.
fn attacked(net: &Net) -> (Vec<f32>, String) {
    use burn::module::Module;
    let victim = net.valid();
    let images = Squares::dataset(24, 3);
    let ids: Vec<usize> = (0..24).collect();
    let batch = collate(&*images, &ids, None, &burn::tensor::Device::flex()).unwrap();
    let samples = Samples::new(batch.images, batch.labels).unwrap().with_batch_size(5).unwrap();
    let threat = ThreatModel::new(Norm::Linf, 0.05).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(5).with_queries(30);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    let evaluation = autoattack.evaluate(&|x: Tensor<4>| victim.logits(x), &samples, &mut Silent).unwrap();
    let records = format!("{:?}", evaluation.report.samples);
    (evaluation.adversarial.try_into_vec_as().unwrap(), records)
}

#[test]
fn trainings_and_evaluations_give_the_bits_that_they_give_alone() {
    let net = Net::new(4, 1);
    let methods = [Method::TwinsAt, Method::At];
    let weights = methods.map(|method| trained(method, net.clone()));
    assert_ne!(weights[0], weights[1]);
    let (measured, attack) = (evaluated(&net), attacked(&net));
    let before = Weights::of(&net);
    thread::scope(|scope| {
        let trainings: Vec<_> = (0..4)
            .map(|at| {
                // Clones of one model, whose running statistics Burn shares: the trainer copies them.
                let net = net.clone();
                scope.spawn(move || trained(methods[at % 2], net))
            })
            .collect();
        let evaluations: Vec<_> = (0..2).map(|_| scope.spawn(|| evaluated(&net))).collect();
        let attacks: Vec<_> = (0..2).map(|_| scope.spawn(|| attacked(&net))).collect();
        for (at, training) in trainings.into_iter().enumerate() {
            assert_eq!(training.join().unwrap(), weights[at % 2], "training {at}");
        }
        for evaluation in evaluations {
            assert_eq!(evaluation.join().unwrap(), measured);
        }
        for other in attacks {
            assert_eq!(other.join().unwrap(), attack);
        }
    });
    // The trainings changed neither the model nor its statistics.
    assert_eq!(Weights::of(&net), before);
}
