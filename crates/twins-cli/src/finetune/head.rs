//! The last layer: kept where it is for the data's classes, new otherwise.

use burn_twins::models::{ModelCard, ModelError, Net};

/// What becomes of the head of loaded weights.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Kept,
    /// Drawn anew, and why.
    New(String),
}

impl Head {
    /// Keeps a head for as many classes as the data has, of the same names where the model has names.
    pub fn choose(net: &Net, card: Option<&ModelCard>, classes: &[String], asked_new: bool) -> Self {
        let (found, wanted) = (net.num_classes(), classes.len());
        let names = card.and_then(|card| card.class_names());
        match names {
            _ if asked_new => Self::New("--new-head".to_owned()),
            _ if found != wanted => {
                Self::New(format!("the weights have {found} classes and the data has {wanted}"))
            }
            Some(names) if names != classes => {
                Self::New(format!("the weights' classes are {}, the data's {}", list(names), list(classes)))
            }
            _ => Self::Kept,
        }
    }

    /// As `run.json` has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::New(_) => "new",
        }
    }

    /// The net with this head for so many classes, and a line that says which it is.
    pub fn apply(&self, net: Net, classes: usize, seed: u64) -> Result<Net, ModelError> {
        println!("{self}");
        match self {
            Self::Kept => Ok(net),
            Self::New(_) => net.with_new_head(classes, seed),
        }
    }
}

impl std::fmt::Display for Head {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kept => write!(
                formatter,
                "the weights' head is kept: it is for the data's classes (--new-head draws a new one)"
            ),
            Self::New(reason) => write!(formatter, "a new head is drawn: {reason}"),
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
