use std::fmt;
use std::str::FromStr;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::AttackError;
use crate::error::setting::SettingError;

/// The floating-point format in which the gradient passes of an attack are computed.
///
/// | name | bits of the significand | normal range |
/// |---|---|---|
/// | `f32` | 24 | 1e-38 to 3e38 |
/// | `bf16` | 8 | 1e-38 to 3e38 |
/// | `f16` | 11 | 6e-5 to 65504 |
///
/// [`AtPrecision`](crate::AtPrecision) is a victim that computes in one of these precisions.
/// [`SurrogateGradients`](crate::SurrogateGradients) is a victim whose verdicts remain those of the model in single
/// precision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Half precision with the range of single precision.
    Bf16,
    /// Half precision with a narrower range and a finer resolution than `bf16`.
    F16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::F16];

    /// The element type of Burn's tensors.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
            Self::F16 => FloatDType::F16,
        }
    }

    /// Checks that a device can compute in this precision. Without this check, the first operation could panic or be
    /// wrong.
    ///
    /// # Errors
    ///
    /// [`SettingError::Precision`], which names the device and the precisions that it supports.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use twins_attack::Precision;
    /// assert!(Precision::Bf16.check(&Device::flex()).is_ok());
    /// ```
    pub fn check(self, device: &Device) -> Result<(), AttackError> {
        let device = device.clone().inner();
        if self == Self::F32 || device.supports_dtype(self.dtype()) {
            return Ok(());
        }
        let supported =
            Self::ALL.into_iter().filter(|other| *other == Self::F32 || device.supports_dtype(other.dtype()));
        let supported = supported.map(|other| format!("`{other}`")).collect::<Vec<_>>().join(" or ");
        Err(SettingError::Precision { device: format!("{device:?}"), precision: self, supported }.into())
    }

    /// Copies a model to its inference form, with all its parameters and running statistics in this precision. The copy
    /// shares nothing with the model, whose own values remain unchanged.
    ///
    /// Constants that a model creates in its forward pass must have the type of its input (create the tensor with
    /// `(&device, input.dtype())`), because Burn panics if two types are combined.
    #[must_use]
    pub fn copy<M: Module>(self, model: &M) -> M {
        // Clones of a Burn module share their running statistics, so mapping one would change the other. valid()
        // unshares them.
        let copy = model.valid();
        match self {
            Self::F32 => copy,
            _ => copy.map(&mut Cast(self.dtype())),
        }
    }
}

struct Cast(FloatDType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// The error for a text that is not the name of a precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision `{0}`: known are f32, bf16 and f16")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = |precision: &Self| precision.to_string() == text.to_ascii_lowercase();
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownPrecision(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use burn::module::RunningState;
    use burn::nn::{BatchNorm, BatchNormConfig};
    use burn::tensor::DType;

    use super::*;

    #[test]
    fn names_round_trip_and_an_unknown_one_is_named() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
            assert_eq!(serde_json::to_value(precision).unwrap(), precision.to_string());
        }
        assert!("f8".parse::<Precision>().unwrap_err().to_string().contains("`f8`"));
    }

    #[test]
    fn the_copy_has_every_value_rounded_and_the_model_keeps_its_own() {
        let device = Device::flex().autodiff();
        let mut norm: BatchNorm = BatchNormConfig::new(2).init(&device);
        // 1 + 2^-10: kept by f16 (11 bits), rounded to 1 by bf16 (8 bits).
        let fine = 1.0 + 1.0 / 1024.0;
        norm.running_var = RunningState::new(Tensor::from_floats([fine, 0.25], &device));
        for (precision, dtype, kept) in [
            (Precision::F32, DType::F32, fine),
            (Precision::F16, DType::F16, fine),
            (Precision::Bf16, DType::BF16, 1.0),
        ] {
            let copy = precision.copy(&norm);
            assert_eq!(copy.gamma.val().dtype(), dtype);
            assert!(!copy.gamma.val().device().is_autodiff());
            let values = |tensor: Tensor<1>| tensor.into_data_as::<f32>().try_into_vec::<f32>().unwrap();
            assert_eq!(values(copy.running_var.value()), [kept, 0.25], "{precision}");
            assert_eq!(norm.running_var.value().dtype(), DType::F32);
            assert_eq!(values(norm.running_var.value().inner()), [fine, 0.25]);
        }
    }
}
