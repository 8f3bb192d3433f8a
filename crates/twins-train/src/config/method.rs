use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twins_nn::{ImageClassifier, Wing};

use super::train_config::TrainConfig;
use crate::error::TrainError;
use crate::objectives::{At, AutoLora, FrozenAt, Mart, Objective, Standard, Trades, TwinsAt, TwinsTrades};

/// Defines [`Method`] from one line per method: variant, name, wing, description and objective.
macro_rules! methods {
    (|$config:ident| $($method:ident $name:literal $wing:ident $description:literal => $objective:expr;)*) => {
        /// The training method.
        ///
        /// The objective of each variant documents its equation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum Method {
            $(
                #[doc = concat!(
                    $description, "; see [`", stringify!($method), "`](crate::", stringify!($method), ")."
                )]
                $method,
            )*
        }

        impl Method {
            /// All methods, in the order of the documentation.
            pub const ALL: [Method; [$($name),*].len()] = [$(Method::$method),*];

            /// The name on the command line and in configuration files.
            pub fn name(self) -> &'static str {
                match self {
                    $(Method::$method => $name,)*
                }
            }

            /// What the method does, in one phrase.
            pub fn description(self) -> &'static str {
                match self {
                    $(Method::$method => $description,)*
                }
            }

            /// The wing that two-wing layers use in the objective's loss.
            pub fn wing(self) -> Wing {
                match self {
                    $(Method::$method => Wing::$wing,)*
                }
            }

            /// Creates the method's objective with the settings of a configuration.
            ///
            /// ```
            /// use burn::nn::Linear;
            /// # use burn::tensor::Tensor;
            /// # use twins_train::ImageClassifier;
            /// use twins_train::{Method, TrainConfig};
            ///
            /// # #[derive(burn::module::Module, Debug)]
            /// # struct Net { linear: Linear }
            /// # impl ImageClassifier for Net {
            /// #     fn logits(&self, images: Tensor<4>) -> Tensor<2> { self.linear.forward(images.flatten(1, 3)) }
            /// # }
            /// let objective = Method::TwinsAt.objective::<Net>(&TrainConfig::default());
            /// assert_eq!(objective.wing(), Method::TwinsAt.wing());
            /// ```
            pub fn objective<M: ImageClassifier>(self, $config: &TrainConfig) -> Box<dyn Objective<M>> {
                match self {
                    $(Method::$method => Box::new($objective),)*
                }
            }
        }
    };
}

methods! { |config|
    Standard "standard" AdaptiveTraining "Clean training without an adversary" => Standard;
    At "at" AdaptiveTraining "Adversarial training with ordinary batch normalisation" => At;
    FrozenAt "frozen-at" Adaptive "Adversarial training with fixed batch-normalisation statistics" => FrozenAt;
    Trades "trades" AdaptiveTraining "TRADES with ordinary batch normalisation" => Trades { beta: config.beta };
    Mart "mart" AdaptiveTraining "MART with ordinary batch normalisation" => Mart { beta: config.beta };
    AutoLora "auto-lora" AdaptiveTraining "AutoLoRa: a low-rank branch for clean images" => auto_lora(config);
    TwinsAt "twins-at" Split "Adversarial training split between the wings" => TwinsAt { lambda: config.lambda };
    TwinsTrades "twins-trades" Split "TRADES split between the wings" => twins_trades(config);
}

fn auto_lora(config: &TrainConfig) -> AutoLora {
    AutoLora::new(config.auto_lora).with_seed(config.seed).with_frozen(config.freeze.clone())
}

fn twins_trades(config: &TrainConfig) -> TwinsTrades {
    TwinsTrades { lambda: config.lambda, beta: config.beta }
}

impl Method {
    /// Whether the loss uses both wings, which requires a model with two-wing layers.
    pub fn is_two_wing(self) -> bool {
        self.wing() == Wing::Split
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = TrainError;

    fn from_str(name: &str) -> Result<Self, TrainError> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == name)
            .ok_or_else(|| TrainError::UnknownMethod { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use twins_attack::Precision;

    use super::*;
    use crate::objectives::{Loss, MixedPrecision, TrainingBatch, TrainingImages};
    use crate::two_pixels::TwoPixels;

    #[test]
    fn names_round_trip() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{method}\""));
        }
    }

    #[test]
    fn the_registry_names_the_wing_of_every_objective() {
        for method in Method::ALL {
            let objective = method.objective::<TwoPixels>(&TrainConfig::default());
            assert_eq!(objective.wing(), method.wing(), "{method}");
        }
    }

    #[test]
    fn only_clean_training_needs_no_adversary() {
        for method in Method::ALL {
            let objective = method.objective::<TwoPixels>(&TrainConfig::default());
            let expected =
                if method == Method::Standard { TrainingImages::Clean } else { TrainingImages::Adversarial };
            assert_eq!(objective.images(), expected, "{method}");
            let objective = MixedPrecision::new(objective, Precision::Bf16);
            assert_eq!(Objective::<TwoPixels>::images(&objective), expected, "{method} in bf16");
        }
    }

    /// The cross-entropy of two logits, where `margin` is the label's logit minus the other one.
    fn cross_entropy(margin: f32) -> f32 {
        (-margin).exp().ln_1p()
    }

    /// The probability of a class whose logit is larger by `margin` than the other one.
    fn probability(margin: f32) -> f32 {
        1.0 / (1.0 + (-margin).exp())
    }

    #[test]
    fn losses_by_hand_with_the_weights_of_the_configuration() {
        let config = TrainConfig::default().with_lambda(0.25).with_beta(3.0);
        let device = Device::flex().autodiff();
        let model = TwoPixels::new(&device);
        // Two images whose label leads by 0.7, and two whose label is behind by 0.3. The adversary swaps the pixels.
        let images = [[[[0.9, 0.2]]], [[[0.9, 0.2]]], [[[0.4, 0.1]]], [[[0.4, 0.1]]]];
        let clean = Tensor::<4>::from_floats(images, &device);
        let adversarial = clean.clone().flip([3]);
        let batch = TrainingBatch::new(clean, adversarial, Tensor::from_ints([0, 0, 1, 1], &device));
        let value = |loss: Loss| loss.total.into_scalar::<f32>();
        // Of a pair of swapped logits: (p − q) ln(p / q), where p and q = 1 − p are their probabilities.
        let divergence = |margin: f32| (2.0 * probability(margin) - 1.0) * margin;
        let mean = |a: f32, b: f32| (a + b) / 2.0;
        let clean = mean(cross_entropy(0.7), cross_entropy(-0.3));
        let adversarial = mean(cross_entropy(-0.7), cross_entropy(0.3));
        // The floor is 1e-4.
        let boost = |rival: f32| -(1.0001 - rival).ln();
        let mart = adversarial
            + mean(boost(probability(0.7)), boost(probability(-0.3)))
            + 3.0 * mean(divergence(0.7) * probability(-0.7), divergence(0.3) * probability(0.3));
        for (method, expected) in [
            (Method::Standard, clean),
            (Method::At, adversarial),
            (Method::FrozenAt, adversarial),
            (Method::Trades, clean + 3.0 * mean(divergence(0.7), divergence(0.3))),
            (Method::Mart, mart),
            (Method::TwinsAt, 0.25 * cross_entropy(-0.7) + cross_entropy(0.3)),
            (
                Method::TwinsTrades,
                0.25 * (cross_entropy(0.7) + 3.0 * divergence(0.7))
                    + cross_entropy(-0.3)
                    + 3.0 * divergence(0.3),
            ),
        ] {
            let found = value(method.objective::<TwoPixels>(&config).loss(&model, &batch));
            // Some thirty float32 roundings (6e-8) of values below 2.
            assert!((found - expected).abs() < 4e-6, "{method}: {found}, {expected}");
        }
    }

    #[test]
    fn unknown_name_lists_the_known_ones() {
        let message = "fat".parse::<Method>().unwrap_err().to_string();
        assert!(message.contains("\"fat\"") && message.contains("twins-trades"), "{message}");
    }
}
