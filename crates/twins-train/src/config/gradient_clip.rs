use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::method::Method;

/// The largest Euclidean norm that the whole gradient of a step may have; a longer one is scaled down to it, as PyTorch's `clip_grad_norm_`
/// does.
///
/// The frozen wing normalises with constants, so that its activations grow with the weights, and with every layer more. At a learning rate
/// that ordinary batch normalisation stands, its gradient then grows without limit, and the training ends with NaN within tens of steps;
/// PyTorch's does, too (`docs/study`). Scaling the gradient to the norm that adversarial training has by itself, about 1, prevents that.
///
/// A configuration file says `gradient_clip = 1.0`, `"none"` or `"by-method"`.
///
/// ```
/// use twins_train::{GradientClip, Method};
///
/// assert_eq!(GradientClip::ByMethod.largest(Method::TwinsAt), Some(1.0));
/// assert_eq!(GradientClip::ByMethod.largest(Method::At), None);
/// assert_eq!(GradientClip::from(0.5).largest(Method::At), Some(0.5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum GradientClip {
    /// 1 for methods with a frozen wing, and no limit for others.
    #[default]
    ByMethod,
    /// No limit.
    None,
    /// This norm: above 0 and finite.
    Norm(f64),
}

const BY_METHOD: &str = "by-method";
const NONE: &str = "none";

impl GradientClip {
    /// The largest norm for a method; `None` where there is no limit.
    pub fn largest(self, method: Method) -> Option<f64> {
        let frozen_statistics = method.is_two_wing() || method == Method::FrozenAt;
        match self {
            Self::Norm(norm) => Some(norm),
            Self::ByMethod => frozen_statistics.then_some(1.0),
            Self::None => None,
        }
    }
}

impl From<f64> for GradientClip {
    fn from(norm: f64) -> Self {
        Self::Norm(norm)
    }
}

impl fmt::Display for GradientClip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByMethod => f.write_str(BY_METHOD),
            Self::None => f.write_str(NONE),
            Self::Norm(norm) => norm.fmt(f),
        }
    }
}

impl Serialize for GradientClip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Norm(norm) => serializer.serialize_f64(*norm),
            Self::ByMethod | Self::None => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for GradientClip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Given)
    }
}

struct Given;

impl Visitor<'_> for Given {
    type Value = GradientClip;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a number, \"{NONE}\" or \"{BY_METHOD}\"")
    }

    fn visit_f64<E: Error>(self, norm: f64) -> Result<GradientClip, E> {
        Ok(GradientClip::Norm(norm))
    }

    fn visit_u64<E: Error>(self, norm: u64) -> Result<GradientClip, E> {
        Ok(GradientClip::Norm(norm as f64))
    }

    fn visit_i64<E: Error>(self, norm: i64) -> Result<GradientClip, E> {
        Ok(GradientClip::Norm(norm as f64))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<GradientClip, E> {
        match word {
            NONE => Ok(GradientClip::None),
            BY_METHOD => Ok(GradientClip::ByMethod),
            _ => Err(E::unknown_variant(word, &[NONE, BY_METHOD])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Preset, TrainConfig};

    #[test]
    fn a_file_has_a_number_or_a_word() {
        for (text, expected) in [
            ("", GradientClip::ByMethod),
            ("gradient_clip = \"by-method\"", GradientClip::ByMethod),
            ("gradient_clip = \"none\"", GradientClip::None),
            ("gradient_clip = 2", GradientClip::Norm(2.0)),
            ("gradient_clip = 0.5", GradientClip::Norm(0.5)),
        ] {
            let file = ConfigFile::from_toml("run.toml", text).unwrap();
            let config = file.apply(TrainConfig::default()).unwrap();
            assert_eq!(config.gradient_clip, expected, "{text}");
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TrainConfig>(&json).unwrap(), config, "{json}");
        }
        for (text, part) in [
            ("epochs = 1\ngradient_clip = \"some\"", "line 2: unknown variant `some`"),
            ("gradient_clip = true", "expected a number, \"none\" or \"by-method\""),
        ] {
            let message = ConfigFile::from_toml("run.toml", text).unwrap_err().to_string();
            assert!(message.contains(part), "{text}: {message}");
        }
        let message = TrainConfig::default().with_gradient_clip(-1.0).validate().unwrap_err().to_string();
        assert!(message.contains("gradient_clip is -1"), "{message}");
    }

    #[test]
    fn methods_with_a_frozen_wing_are_clipped_and_the_published_settings_are_not() {
        let clipped: Vec<&str> = Method::ALL
            .into_iter()
            .filter(|&method| GradientClip::ByMethod.largest(method).is_some())
            .map(Method::name)
            .collect();
        assert_eq!(clipped, ["frozen-at", "twins-at", "twins-trades"]);
        for preset in Preset::ALL {
            let config = preset.config();
            assert_eq!(config.gradient_clip.largest(config.method), None, "{preset}");
        }
    }
}
