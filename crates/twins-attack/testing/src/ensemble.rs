use burn::tensor::Tensor;
use twins_attack::{
    AutoAttackConfig, Evaluation, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version,
};

use crate::golden::Golden;

/// The standard ensemble with few steps, for the synthetic network.
pub fn autoattack(norm: Norm) -> RobustnessEvaluation {
    let epsilon = match norm {
        Norm::Linf => 0.013,
        Norm::L2 => 0.2,
        Norm::L1 => 1.4,
        Norm::L0 => unreachable!("the reference has no L0"),
    };
    let threat = ThreatModel::new(norm, epsilon).unwrap();
    let config = AutoAttackConfig::new(threat, Version::Standard).with_steps(10).with_queries(60);
    RobustnessEvaluation::autoattack(config).unwrap()
}

/// Evaluates the synthetic net.
pub fn evaluate(golden: &Golden, samples: &Samples, norm: Norm) -> Evaluation {
    let net = golden.net();
    autoattack(norm).evaluate(&|x: Tensor<4>| net.forward(x), samples, &mut Silent).unwrap()
}

/// The report's text without the times.
pub fn timeless(evaluation: &Evaluation) -> String {
    let mut report = evaluation.report.clone();
    report.stages.iter_mut().for_each(|stage| stage.seconds = 0.0);
    serde_json::to_string(&report).unwrap()
}
