use std::fmt;

use twins_models::{ModelCard, ModelError, Net};

use crate::settings::Head;

/// What becomes of the last layer of loaded weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChosenHead {
    /// All weights are drawn from the seed.
    Random,
    /// It is kept.
    Kept,
    /// It is drawn from the seed, and why.
    New(String),
}

impl ChosenHead {
    /// Keeps a head for as many classes as the data has, of the same names where the model has names.
    pub(crate) fn choose(net: &Net, card: Option<&ModelCard>, classes: &[String], head: Head) -> Self {
        let (found, wanted) = (net.num_classes(), classes.len());
        let names = card.and_then(|card| card.class_names());
        match names {
            _ if head == Head::New => Self::New("--new-head".to_owned()),
            _ if found != wanted => {
                Self::New(format!("the weights have {found} classes and the data has {wanted}"))
            }
            Some(names) if names != classes => {
                Self::New(format!("the weights' classes are {}, the data's {}", list(names), list(classes)))
            }
            _ => Self::Kept,
        }
    }

    /// As the record of a run has it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Kept => "kept",
            Self::New(_) => "new",
        }
    }

    /// The net with this head for so many classes.
    pub(crate) fn apply(&self, net: Net, classes: usize, seed: u64) -> Result<Net, ModelError> {
        match self {
            Self::Random | Self::Kept => Ok(net),
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
            Self::New(reason) => write!(f, "a new head is drawn: {reason}"),
        }
    }
}

/// The first classes, and how many more there are.
fn list(classes: &[String]) -> String {
    const SHOWN: usize = 4;
    match classes.len().checked_sub(SHOWN) {
        None | Some(0) => classes.join(", "),
        Some(more) => format!("{} and {more} more", classes[..SHOWN].join(", ")),
    }
}
