//! Models with TWINS layers in their training form are refused, and measurements that take a model leave it alone.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Distribution, Tensor};
use burn_twins::attack::{
    Attack, AttackError, AutoAttackConfig, Norm, PgdConfig, RobustnessEvaluation, Samples, Silent,
    ThreatModel, TrainingSign, Version,
};
use burn_twins::models::{Architecture, ModelConfig, Net};
use burn_twins::nn::{TwinsModule, Wing};
use burn_twins::report::{RobustnessCurve, Score};

fn net(device: &Device) -> Net {
    ModelConfig::new(Architecture::TinyResNet, 4).init(device).unwrap()
}

fn samples() -> Samples {
    let images = Tensor::random([6, 3, 32, 32], Distribution::Uniform(0.0, 1.0), &Device::flex());
    Samples::new(images, vec![0, 1, 2, 3, 0, 1]).unwrap()
}

fn threat() -> ThreatModel {
    ThreatModel::new(Norm::Linf, 1e-3).unwrap()
}

/// The running statistics and everything else that a pass could change.
fn values(net: &Net) -> Vec<u32> {
    struct Values(Vec<u32>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let values = param.val().inner().try_into_vec_as::<f32>().unwrap();
            self.0.extend(values.into_iter().map(f32::to_bits));
        }
    }
    let mut values = Values(Vec::new());
    // Through valid(), which takes in updates that have not reached the statistics.
    net.valid().visit(&mut values);
    values.0
}

/// What shows that a fresh net is in its training form, to an attack and to AutoAttack.
fn signs(device: &Device, wing: Wing) -> [TrainingSign; 2] {
    let pgd = PgdConfig::new(threat(), 2, 1e-3).build().unwrap();
    let config = AutoAttackConfig::new(threat(), Version::Standard).with_steps(2).with_queries(2);
    let autoattack = RobustnessEvaluation::autoattack(config).unwrap();
    let nets = [net(device).with_wing(wing), net(device).with_wing(wing)];
    let [run, evaluate] = &nets.each_ref().map(|net| |images: Tensor<4>| net.forward(images));
    let run = pgd.run(run, &samples()).map(|_| ());
    let evaluate = autoattack.evaluate(evaluate, &samples(), &mut Silent).map(|_| ());
    [run, evaluate].map(|result| match result {
        Err(AttackError::TrainingMode { sign }) => sign,
        other => panic!("{other:?}"),
    })
}

#[test]
fn a_split_batch_is_refused() {
    for wing in [Wing::Split, Wing::AdaptiveTraining] {
        let tracked = signs(&Device::flex().autodiff(), wing);
        assert_eq!(tracked, [TrainingSign::Tracked, TrainingSign::Tracked]);
    }
    // On a device without autodiff only gradient passes train.
    for sign in signs(&Device::flex(), Wing::AdaptiveTraining) {
        assert!(matches!(sign, TrainingSign::GradientPass { .. }), "{sign:?}");
    }
}

#[test]
#[should_panic(expected = "Wing::Split on a device without autodiff")]
fn a_split_without_autodiff_is_refused_by_the_layer() {
    signs(&Device::flex(), Wing::Split);
}

#[test]
fn measurements_of_a_model_in_training_form_leave_it_alone() {
    let net = net(&Device::flex().autodiff()).with_wing(Wing::Split);
    let noise = Tensor::random([6, 3, 32, 32], Distribution::Uniform(0.0, 1.0), &Device::flex().autodiff());
    let _ = net.forward(noise);
    let before = values(&net);
    let pgd = PgdConfig::new(threat(), 2, 1e-3).build().unwrap();
    RobustnessCurve::measure("net", &net, &samples(), Norm::Linf, &[1e-3], 2).unwrap();
    Score::measure("pgd", &net, &samples(), &pgd).unwrap();
    assert_eq!(values(&net), before);
}
