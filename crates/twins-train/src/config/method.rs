use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// What is minimised in training; each has its equation in the documentation of its objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Clean training: no adversary, see [`Standard`](crate::Standard).
    Standard,
    /// Adversarial training with ordinary batch normalisation, see [`At`](crate::At).
    At,
    /// TRADES with ordinary batch normalisation, see [`Trades`](crate::Trades).
    Trades,
    /// MART with ordinary batch normalisation, see [`Mart`](crate::Mart).
    Mart,
    /// Clean images train a low-rank branch, adversarial ones the model; see [`AutoLora`](crate::AutoLora).
    AutoLora,
    /// Adversarial training split between the two wings, see [`TwinsAt`](crate::TwinsAt).
    TwinsAt,
    /// TRADES split between the two wings, see [`TwinsTrades`](crate::TwinsTrades).
    TwinsTrades,
}

impl Method {
    /// Every method, in the order of the documentation.
    pub const ALL: [Method; 7] = [
        Method::Standard,
        Method::At,
        Method::Trades,
        Method::Mart,
        Method::AutoLora,
        Method::TwinsAt,
        Method::TwinsTrades,
    ];

    /// The name on the command line and in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Method::Standard => "standard",
            Method::At => "at",
            Method::Trades => "trades",
            Method::Mart => "mart",
            Method::AutoLora => "auto-lora",
            Method::TwinsAt => "twins-at",
            Method::TwinsTrades => "twins-trades",
        }
    }

    /// Whether the loss runs both wings, so that the model needs two-wing layers.
    pub fn is_two_wing(self) -> bool {
        matches!(self, Method::TwinsAt | Method::TwinsTrades)
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
    use super::*;

    #[test]
    fn names_round_trip() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse::<Method>().unwrap(), method);
            assert_eq!(serde_json::to_string(&method).unwrap(), format!("\"{method}\""));
        }
    }

    #[test]
    fn unknown_name_lists_the_known_ones() {
        let message = "fat".parse::<Method>().unwrap_err().to_string();
        assert!(message.contains("\"fat\"") && message.contains("twins-trades"), "{message}");
    }
}
