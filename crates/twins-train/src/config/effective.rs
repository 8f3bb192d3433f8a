use serde::Serialize;
use serde_json::Value;

use super::protocol::EvaluationProtocol;
use super::train_config::TrainConfig;
use crate::error::TrainError;

/// Settings with the values that are derived from them, as shown by a run directory, `finetune --show-config` and a
/// report.
///
/// A configuration file may contain the key `resolved`. Its value is ignored when the file is read, because it is
/// derived again from the settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EffectiveConfig {
    /// The settings.
    #[serde(flatten)]
    pub settings: TrainConfig,
    /// The values that are derived from the settings.
    pub resolved: Resolved,
}

/// Values that are derived from other settings.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resolved {
    /// The protocol with which validation measures robust accuracy, if images are held out.
    pub validation: EvaluationProtocol,
}

/// The key of [`Resolved`] in files.
pub(crate) const RESOLVED: &str = "resolved";

impl TrainConfig {
    /// The protocol with which validation measures robust accuracy:
    /// [`ValidationConfig::protocol`](crate::ValidationConfig::protocol), with the threat model of the training adversary if
    /// it has none of its own. No other property of a measurement depends on the training settings.
    ///
    /// ```
    /// use twins_attack::Norm;
    /// use twins_train::{AdversaryConfig, Method, TrainConfig};
    ///
    /// # fn main() -> Result<(), twins_train::TrainError> {
    /// let config = TrainConfig::new(Method::At).with_adversary(AdversaryConfig::new(Norm::L2, 0.5, 7, 0.1));
    /// assert_eq!(config.validation_protocol()?.to_string(), "PGD-10 L2 0.5");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TrainError::Protocol`] for values out of range.
    pub fn validation_protocol(&self) -> Result<EvaluationProtocol, TrainError> {
        self.validation.protocol.resolve(&self.adversary).map_err(TrainError::Protocol)
    }

    /// The settings with the values that are derived from them.
    ///
    /// # Errors
    ///
    /// The errors of [`validation_protocol`](Self::validation_protocol).
    pub fn effective(&self) -> Result<EffectiveConfig, TrainError> {
        let resolved = Resolved { validation: self.validation_protocol()? };
        Ok(EffectiveConfig { settings: self.clone(), resolved })
    }
}

/// Reads settings from JSON. The JSON may also be that of an [`EffectiveConfig`].
pub(crate) fn read_settings(text: &str) -> serde_json::Result<TrainConfig> {
    let mut value: Value = serde_json::from_str(text)?;
    if let Some(settings) = value.as_object_mut() {
        settings.remove(RESOLVED);
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use twins_attack::{Loss, Norm, Start, ThreatModel};

    use super::*;
    use crate::config::{AdversaryConfig, Method, ProtocolConfig, ValidationConfig};

    #[test]
    fn validation_attacks_the_training_adversary_s_ball_whatever_the_order_of_the_setters() {
        let adversary = AdversaryConfig::new(Norm::L2, 0.5, 3, 0.4).with_loss(Loss::Kl);
        let validation = ValidationConfig { fraction: Some(0.2), ..ValidationConfig::default() };
        let config = TrainConfig::new(Method::Trades);
        for config in [
            config.clone().with_adversary(adversary.clone()).with_validation(validation.clone()),
            config.clone().with_validation(validation.clone()).with_adversary(adversary.clone()),
        ] {
            let protocol = config.validation_protocol().unwrap();
            assert_eq!(protocol.threat, ThreatModel::new(Norm::L2, 0.5).unwrap());
            assert_eq!((protocol.steps, protocol.step_size), (10, 0.125));
            assert_eq!((protocol.loss, protocol.start), (Loss::CrossEntropy, Start::Clean));
        }
        let threat = ThreatModel::new(Norm::Linf, 4.0 / 255.0).unwrap();
        let protocol = ProtocolConfig { threat: Some(threat), ..ProtocolConfig::default() };
        let own =
            config.with_validation(ValidationConfig { protocol, ..validation }).with_adversary(adversary);
        assert_eq!(own.validation_protocol().unwrap().threat, threat);
    }

    #[test]
    fn what_follows_is_written() {
        let effective = serde_json::to_value(TrainConfig::default().effective().unwrap()).unwrap();
        assert_eq!(effective["method"], "twins-at");
        assert!(effective["validation"]["protocol"].get("threat").is_none(), "not the user's setting");
        assert_eq!(effective[RESOLVED]["validation"]["threat"]["norm"], "linf");
        assert_eq!(effective[RESOLVED]["validation"]["steps"], 10);
    }
}
