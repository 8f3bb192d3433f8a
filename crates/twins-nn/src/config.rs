use std::fmt;
use std::str::FromStr;

use burn::config::Config;
use burn::module::{Param, RunningState};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::{TwinsBatchNorm, Wing};

/// Which gamma and beta the frozen wing applies: its own, or those of the adaptive wing.
///
/// The text form is `per-wing` or `shared`.
///
/// ```
/// use twins_nn::Affine;
///
/// assert_eq!("shared".parse(), Ok(Affine::Shared));
/// assert_eq!(Affine::PerWing.to_string(), "per-wing");
/// assert!("common".parse::<Affine>().unwrap_err().to_string().contains("per-wing or shared"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Affine {
    /// Each wing has its own gamma and beta, and both pairs are trained. This is what the paper's released
    /// code does.
    PerWing,
    /// Both wings apply and train the same gamma and beta. This is an ablation.
    Shared,
}

impl fmt::Display for Affine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PerWing => "per-wing",
            Self::Shared => "shared",
        })
    }
}

impl FromStr for Affine {
    type Err = UnknownAffine;

    fn from_str(text: &str) -> Result<Self, UnknownAffine> {
        match text {
            "per-wing" => Ok(Self::PerWing),
            "shared" => Ok(Self::Shared),
            _ => Err(UnknownAffine { text: text.to_owned() }),
        }
    }
}

/// A text that is not the name of an [`Affine`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} does not say whose gamma and beta the frozen wing applies; give per-wing or shared")]
pub struct UnknownAffine {
    /// The text.
    pub text: String,
}

/// The estimate of the batch variance that is accumulated in the running variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunningVariance {
    /// Divided by n − 1: PyTorch's convention.
    Unbiased,
    /// Divided by n: the convention of Burn's `BatchNorm`.
    Biased,
}

/// Configuration of a [`TwinsBatchNorm`].
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `num_features` | | channels of the input | > 0 |
/// | `epsilon` | 1e-5 | added to the variance | finite, > 0 |
/// | `momentum` | 0.1 | weight of the newest batch in the running statistics | [0, 1] |
/// | `affine` | [`Affine::PerWing`] | one gamma and beta per wing, or shared ones | |
/// | `running_variance` | [`RunningVariance::Unbiased`] | the estimate that is accumulated | |
///
/// ```
/// use burn::tensor::Device;
/// use twins_nn::TwinsBatchNormConfig;
///
/// let norm = TwinsBatchNormConfig::new(64).with_momentum(0.05).init(&Device::flex());
/// assert_eq!(norm.num_features(), 64);
/// ```
#[derive(Config, Debug)]
pub struct TwinsBatchNormConfig {
    /// Channels of the input (its second axis).
    pub num_features: usize,
    /// Added to the variance under the square root.
    #[config(default = 1e-5)]
    pub epsilon: f64,
    /// Weight of the newest batch in the running statistics.
    #[config(default = 0.1)]
    pub momentum: f64,
    /// Whether each wing has its own gamma and beta.
    #[config(default = "Affine::PerWing")]
    pub affine: Affine,
    /// Which estimate of the batch variance is accumulated.
    #[config(default = "RunningVariance::Unbiased")]
    pub running_variance: RunningVariance,
}

impl TwinsBatchNormConfig {
    /// Builds the layer with gammas 1, betas 0, means 0 and variances 1.
    ///
    /// The layer starts in [`Wing::AdaptiveTraining`], as Burn's `BatchNorm` starts in training mode.
    ///
    /// # Panics
    ///
    /// If `num_features` is 0, `epsilon` is not finite and positive, or `momentum` is outside [0, 1].
    pub fn init(&self, device: &Device) -> TwinsBatchNorm {
        let Self { num_features, epsilon, momentum, affine, running_variance } = *self;
        assert!(num_features > 0, "TwinsBatchNorm: num_features is 0; it must be the input's channel count");
        assert!(
            epsilon.is_finite() && epsilon > 0.0,
            "TwinsBatchNorm: epsilon is {epsilon}; it must be finite and positive (PyTorch's default is 1e-5)"
        );
        assert!(
            (0.0..=1.0).contains(&momentum),
            "TwinsBatchNorm: momentum is {momentum}; it must lie in [0, 1] (PyTorch's default is 0.1)"
        );

        let ones = || Initializer::Ones.init([num_features], device);
        let zeros = || Initializer::Zeros.init([num_features], device);
        let (frozen_gamma, frozen_beta) = match affine {
            Affine::PerWing => (Some(ones()), Some(zeros())),
            Affine::Shared => (None, None),
        };
        let (training, frozen) = Wing::AdaptiveTraining.flags();
        TwinsBatchNorm {
            gamma: ones(),
            beta: zeros(),
            running_mean: RunningState::new(Tensor::zeros([num_features], device)),
            running_var: RunningState::new(Tensor::ones([num_features], device)),
            frozen_gamma,
            frozen_beta,
            frozen_mean: fixed(Tensor::zeros([num_features], device)),
            frozen_var: fixed(Tensor::ones([num_features], device)),
            training: Param::from_bool(training),
            frozen: Param::from_bool(frozen),
            epsilon,
            momentum,
            running_variance,
        }
    }
}

/// A parameter that is saved in records but not trained.
pub(crate) fn fixed(value: Tensor<1>) -> Param<Tensor<1>> {
    Param::from_tensor(value.detach()).set_require_grad(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "num_features is 0")]
    fn no_features() {
        TwinsBatchNormConfig::new(0).init(&Device::flex());
    }

    #[test]
    #[should_panic(expected = "epsilon is 0")]
    fn zero_epsilon() {
        TwinsBatchNormConfig::new(1).with_epsilon(0.0).init(&Device::flex());
    }

    #[test]
    #[should_panic(expected = "epsilon is NaN")]
    fn nan_epsilon() {
        TwinsBatchNormConfig::new(1).with_epsilon(f64::NAN).init(&Device::flex());
    }

    #[test]
    #[should_panic(expected = "momentum is 1.5")]
    fn momentum_above_one() {
        TwinsBatchNormConfig::new(1).with_momentum(1.5).init(&Device::flex());
    }
}
