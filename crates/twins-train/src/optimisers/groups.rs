use serde::{Deserialize, Serialize};

use crate::parameters::is_under;

/// Parameter groups with settings of their own.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `head_learning_rate` | 1 | learning rate of the head, as a multiple of that of the other parameters | > 0 |
/// | `decay` | `all` | parameters that weight decay applies to | [`Decay`] |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// Learning rate of the head, as a multiple of that of the other parameters.
    pub head_learning_rate: f64,
    /// Parameters that weight decay applies to.
    pub decay: Decay,
}

/// The parameters that weight decay applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Every trained parameter, which is the default of `torch.optim.SGD` and the choice of TWINS's released code.
    #[default]
    All,
    /// Parameters of rank 2 or more: weights of convolutions and linear layers, but neither biases nor gamma and beta of normalisation
    /// layers.
    Weights,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self { head_learning_rate: 1.0, decay: Decay::All }
    }
}

/// The groups of one model's parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParameterGroups {
    /// The path and the learning-rate factor of the head.
    head: Option<(String, f64)>,
    decay: Decay,
}

impl ParameterGroups {
    /// Creates a single group of all parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Multiplies the learning rate of the parameters under a path.
    #[must_use]
    pub fn with_head(mut self, path: impl Into<String>, factor: f64) -> Self {
        self.head = Some((path.into(), factor));
        self
    }

    /// Sets which parameters weight decay applies to.
    #[must_use]
    pub fn with_decay(mut self, decay: Decay) -> Self {
        self.decay = decay;
        self
    }

    /// The learning-rate factor of a parameter.
    pub(crate) fn learning_rate_factor(&self, path: &str) -> f64 {
        match &self.head {
            Some((head, factor)) if is_under(path, head) => *factor,
            _ => 1.0,
        }
    }

    /// Whether weight decay applies to a parameter of the given rank.
    pub(super) fn decays(&self, rank: usize) -> bool {
        self.decay == Decay::All || rank >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_is_what_lies_under_its_path() {
        let groups = ParameterGroups::new().with_head("fc", 10.0).with_decay(Decay::Weights);
        let factors = ["fc.weight", "fc.bias", "fc2.weight", "layer1.fc.weight"];
        assert_eq!(factors.map(|path| groups.learning_rate_factor(path)), [10.0, 10.0, 1.0, 1.0]);
        assert_eq!([1, 2, 4].map(|rank| groups.decays(rank)), [false, true, true]);
        assert!(ParameterGroups::new().decays(1));
    }
}
