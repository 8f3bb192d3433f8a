use std::fmt;

use twins_files::shortened;
use twins_models::{ModelCard, ModelError, Net};

use crate::settings::Head;

/// The treatment of the last layer after weights have been loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChosenHead {
    /// All weights are drawn from the seed.
    Random,
    /// The head of the weights is kept: it is for the data's classes.
    Kept,
    /// The head of the weights is kept. Its classes have no names, so only their number is known to match.
    KeptUnnamed,
    /// The head is drawn from the seed, for the given reason.
    New(String),
}

impl ChosenHead {
    /// Keeps a head with as many classes as the data has; if the model has class names, they must match too.
    pub(crate) fn choose(net: &Net, card: Option<&ModelCard>, classes: &[String], head: Head) -> Self {
        let (found, wanted) = (net.num_classes(), classes.len());
        let names = card.and_then(|card| card.class_names());
        match names {
            _ if head == Head::New => Self::New("--new-head".to_owned()),
            _ if found != wanted => {
                Self::New(format!("the weights have {found} classes and the data has {wanted}"))
            }
            Some(names) if names != classes => Self::New(difference(names, classes)),
            Some(_) => Self::Kept,
            None => Self::KeptUnnamed,
        }
    }

    /// The name in the record of a run.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Kept | Self::KeptUnnamed => "kept",
            Self::New(_) => "new",
        }
    }

    /// Returns the net with this head for the given number of classes.
    pub(crate) fn apply(&self, net: Net, classes: usize, seed: u64) -> Result<Net, ModelError> {
        match self {
            Self::Random | Self::Kept | Self::KeptUnnamed => Ok(net),
            Self::New(_) => net.with_new_head(classes, seed),
        }
    }
}

impl fmt::Display for ChosenHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("all weights are drawn from the seed"),
            Self::Kept => f.write_str(
                "the weights' head is kept: it is for the data's classes (--new-head draws a new one)",
            ),
            Self::KeptUnnamed => f.write_str(
                "the weights' head is kept: it has as many classes as the data, and the file does not name them (--new-head draws a \
                 new one)",
            ),
            Self::New(reason) => write!(f, "a new head is drawn: {reason}"),
        }
    }
}

/// The number of classes whose names are shown.
const SHOWN: usize = 4;

/// The number of characters that are shown of a name.
const LONGEST: usize = 40;

/// Describes how the classes of the weights and of the data differ.
fn difference(weights: &[String], data: &[String]) -> String {
    match weights.iter().zip(data).enumerate().find(|(_, (weights, data))| weights != data) {
        Some((label, (weights, data))) if label >= SHOWN => format!(
            "label {label} is {} in the weights and {} in the data",
            shortened(weights, LONGEST),
            shortened(data, LONGEST)
        ),
        _ => format!("the weights' classes are {}, the data's {}", list(weights), list(data)),
    }
}

/// Lists the first classes and the number of further ones.
fn list(classes: &[String]) -> String {
    let names: Vec<String> = classes.iter().take(SHOWN).map(|name| shortened(name, LONGEST)).collect();
    match classes.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use twins_models::{Architecture, ModelConfig};

    use super::*;

    #[test]
    fn the_reason_for_a_new_head_names_a_class_that_differs() {
        let net = ModelConfig::new(Architecture::ResNet8, 6).init(&Device::flex()).unwrap();
        let names = |names: [&str; 6]| names.map(str::to_owned).to_vec();
        let card = ModelCard::new(&net, names(["a", "b", "c", "d", "e", "f"])).unwrap();
        let reason = |classes| ChosenHead::choose(&net, Some(&card), &names(classes), Head::Fit).to_string();
        let said = reason(["a", "b", "c", "d", "f", "e"]);
        assert_eq!(said, "a new head is drawn: label 4 is e in the weights and f in the data");
        let said = reason(["b", "a", "c", "d", "e", "f"]);
        assert!(said.ends_with("are a, b, c, d and 2 more, the data's b, a, c, d and 2 more"), "{said}");
    }

    #[test]
    fn a_kept_head_is_said_to_be_for_the_classes_only_if_their_names_are_known() {
        let net = ModelConfig::new(Architecture::ResNet8, 2).init(&Device::flex()).unwrap();
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let card = |classes| ModelCard::new(&net, names(classes)).unwrap();
        let said = |card: Option<&ModelCard>| {
            let head = ChosenHead::choose(&net, card, &names(["cat", "dog"]), Head::Fit);
            assert_eq!(head.name(), "kept");
            head.to_string()
        };
        assert!(said(Some(&card(["cat", "dog"]))).contains("it is for the data's classes"));
        for unnamed in [None, Some(&card(["0", "1"]))] {
            assert!(said(unnamed).contains("as many classes as the data, and the file does not name them"));
        }
    }
}
