//! Attacks leave a model with stock batch normalisation as it was, to the bit.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Distribution, Tensor};
use proptest::prelude::*;
use twins_attack::{
    AutoAttackConfig, Norm, RobustnessEvaluation, Samples, Silent, ThreatModel, Version, predictions,
};
use twins_attack_testing::attacks;

#[derive(Module, Debug)]
pub(crate) struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    head: Linear,
}

impl Net {
    /// With fresh running statistics, not in its inference form.
    pub(crate) fn new([channels, height, width]: [usize; 3], classes: usize, device: &Device) -> Self {
        Self {
            conv: Conv2dConfig::new([channels, 3], [1, 1]).init(device),
            norm: BatchNormConfig::new(3).init(device),
            head: LinearConfig::new(3 * height * width, classes).init(device),
        }
    }

    /// On the autodiff device, with running statistics of one training step.
    pub(crate) fn draw(shape @ [channels, height, width]: [usize; 3], classes: usize, seed: u64) -> Self {
        let device = Device::flex().autodiff();
        device.seed(seed);
        let net = Self::new(shape, classes, &device);
        let noise = Tensor::random([6, channels, height, width], Distribution::Uniform(0.0, 1.0), &device);
        let _ = net.forward(noise);
        net
    }

    pub(crate) fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let features = burn::tensor::activation::relu(self.norm.forward(self.conv.forward(images)));
        self.head.forward(features.flatten::<2>(1, 3))
    }

    /// All parameters, then the running mean and variance.
    pub(crate) fn bits(&self) -> Vec<u32> {
        struct Values(Vec<f32>);
        impl ModuleVisitor for Values {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                self.0.extend(param.val().inner().try_into_vec_as::<f32>().unwrap());
            }
        }
        let mut values = Values(Vec::new());
        self.visit(&mut values);
        for state in [&self.norm.running_mean, &self.norm.running_var] {
            values.0.extend(state.value_sync().inner().try_into_vec_as::<f32>().unwrap());
        }
        values.0.iter().map(|value| value.to_bits()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_attack_leaves_parameters_and_running_statistics_alone(
        shape in [1usize..=4, 2usize..=5, 2usize..=5],
        classes in 2usize..=6,
        seed in any::<u64>(),
        norm in prop_oneof![Just(Norm::Linf), Just(Norm::L2), Just(Norm::L1)],
    ) {
        let training = Net::draw(shape, classes, seed);
        let net = training.clone().valid();
        let victim = |images: Tensor<4>| net.forward(images);
        let images = Tensor::random([5, shape[0], shape[1], shape[2]], Distribution::Uniform(0.0, 1.0), &Device::flex());
        let unlabelled = Samples::new(images.clone(), vec![0; 5]).unwrap();
        let seen = predictions(&victim, &unlabelled).unwrap();
        // All but the first are right, so that the attacks have something to do.
        let labels = seen.iter().enumerate().map(|(i, class)| if i == 0 { (class + 1) % classes } else { *class });
        let samples = Samples::new(images, labels.collect()).unwrap();
        let before = [net.bits(), training.bits()];
        // Convolution, gamma, beta, head, running mean and variance.
        prop_assert!(before[0].len() >= 3 * shape[0] + 3 + 6 + (3 * shape[1] * shape[2] + 1) * classes + 6);

        let threat = ThreatModel::new(norm, 0.05).unwrap();
        for attack in attacks(threat, classes, seed) {
            attack.run(&victim, &samples).unwrap();
            prop_assert_eq!([net.bits(), training.bits()], before.clone(), "{}", attack.name());
        }
        let config = AutoAttackConfig::new(threat, Version::Plus).with_steps(3).with_queries(5);
        let ensemble = RobustnessEvaluation::autoattack(config).unwrap();
        ensemble.evaluate(&victim, &samples, &mut Silent).unwrap();
        prop_assert_eq!([net.bits(), training.bits()], before);
    }
}

/// What the property looks at does change in training.
#[test]
fn a_training_pass_is_noticed() {
    let net = Net::draw([1, 2, 2], 2, 0);
    let before = net.bits();
    let _ = net.forward(Tensor::full([4, 1, 2, 2], 0.5, &Device::flex().autodiff()));
    assert_ne!(net.bits(), before);
}
