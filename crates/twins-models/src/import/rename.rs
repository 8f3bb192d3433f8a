//! Renames a file's entries by regular expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::import::checkpoint::Checkpoint;
use crate::import::locate::is_inside;

/// A rename of the entries in a weight file: every match of a regular expression is replaced.
///
/// It is written `REGEX=TO`; the first `=` separates the two. The expression has the [syntax of the `regex`
/// crate](https://docs.rs/regex/1/regex/#syntax). In the replacement, `$1` and `${name}` refer to groups of the
/// expression; write `${1}` before a letter, digit or underscore.
///
/// The expression is applied to the names in PyTorch's `state_dict()`, without the names of enclosing dictionaries in
/// the file: `^` matches before `conv1.weight` even if the file stores it in `state_dict`.
///
/// ```
/// use twins_models::{ImportOptions, Rename};
///
/// // block2_conv_1.weight becomes layer2.0.conv1.weight.
/// let rename: Rename = r"^block(\d)_conv_(\d)=layer$1.0.conv$2".parse()?;
/// let options = ImportOptions::new().with_rename(rename);
/// assert!("conv_(=conv".parse::<Rename>().unwrap_err().to_string().contains("unclosed group"));
/// # Ok::<(), twins_models::ModelError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub struct Rename {
    regex: Regex,
    replacement: String,
}

impl Rename {
    /// Creates a rename that replaces every match of `regex` by `replacement`.
    ///
    /// # Errors
    ///
    /// [`ModelError::RenameExpression`] if `regex` is not a regular expression.
    pub fn new(regex: &str, replacement: impl Into<String>) -> Result<Self, ModelError> {
        let regex = Regex::new(regex)
            .map_err(|source| ModelError::RenameExpression { expression: regex.to_owned(), source })?;
        Ok(Self { regex, replacement: replacement.into() })
    }

    fn apply<'n>(&self, name: Cow<'n, str>) -> Cow<'n, str> {
        match self.regex.replace_all(&name, &self.replacement) {
            Cow::Borrowed(_) => name,
            Cow::Owned(renamed) => Cow::Owned(renamed),
        }
    }
}

impl PartialEq for Rename {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.replacement == other.replacement
    }
}

impl fmt::Display for Rename {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.regex, self.replacement)
    }
}

impl FromStr for Rename {
    type Err = ModelError;

    fn from_str(text: &str) -> Result<Self, ModelError> {
        let (regex, replacement) = text
            .split_once('=')
            .ok_or_else(|| ModelError::RenameWithoutReplacement { text: text.to_owned() })?;
        Self::new(regex, replacement)
    }
}

impl From<Rename> for String {
    fn from(rename: Rename) -> Self {
        rename.to_string()
    }
}

impl TryFrom<String> for Rename {
    type Error = ModelError;

    fn try_from(text: String) -> Result<Self, ModelError> {
        text.parse()
    }
}

/// Applies the renames to a file's entries, one after the other.
pub(super) fn rename(checkpoint: &mut Checkpoint, renames: &[Rename]) -> Result<(), ModelError> {
    if renames.is_empty() {
        return Ok(());
    }
    let mut renamed = BTreeMap::new();
    for (key, entry) in std::mem::take(&mut checkpoint.entries) {
        let name = new_key(checkpoint, renames, &key);
        if renamed.contains_key(&name) {
            let first = checkpoint.file_key(&name).to_owned();
            let path = checkpoint.path.clone();
            return Err(ModelError::RenameCollision { path, name, first, second: key });
        }
        if name != key {
            checkpoint.renamed_from.insert(name.clone(), key);
        }
        renamed.insert(name, entry);
    }
    checkpoint.entries = renamed;
    let objects = std::mem::take(&mut checkpoint.objects);
    checkpoint.objects =
        objects.into_iter().map(|(key, kind)| (new_key(checkpoint, renames, &key), kind)).collect();
    Ok(())
}

/// Renames an entry's name in its innermost dictionary; returns the new key.
fn new_key(checkpoint: &Checkpoint, renames: &[Rename], key: &str) -> String {
    let around = checkpoint.dictionaries.iter().filter(|name| !name.is_empty() && is_inside(key, name));
    let start = around.map(|name| name.len() + 1).max().unwrap_or(0);
    let (dictionary, name) = key.split_at(start);
    let name = renames.iter().fold(Cow::Borrowed(name), |name, rename| rename.apply(name));
    format!("{dictionary}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_expression_is_named_with_the_place_of_the_error() {
        let message = Rename::new("layer[0-", "x").unwrap_err().to_string();
        assert!(message.contains("cannot rename by \"layer[0-\""), "{message}");
        // The caret of the expression's parser is below the bracket.
        assert!(message.contains("layer[0-\n         ^\n") && message.contains("unclosed"), "{message}");
        let message = "conv_1".parse::<Rename>().unwrap_err().to_string();
        assert!(message.contains("\"conv_1\"") && message.contains("REGEX=TO"), "{message}");
    }

    #[test]
    fn renames_are_applied_to_every_match_in_the_order_given() {
        let renames: Vec<Rename> =
            [r"_(\d)=.$1", r"^net\.=", "a=b", "b=c"].map(|text| text.parse().unwrap()).into();
        let renamed = |name| renames.iter().fold(Cow::Borrowed(name), |name, rename| rename.apply(name));
        assert_eq!(renamed("net.x_1.y_2"), "x.1.y.2");
        assert_eq!(renamed("net.net.a"), "net.c");
        assert_eq!(renamed("fc"), "fc");
    }

    #[test]
    fn serialises_as_it_is_written() {
        let rename: Rename = r"^conv_(\d)=conv$1".parse().unwrap();
        let json = serde_json::to_string(&rename).unwrap();
        assert_eq!(json, r#""^conv_(\\d)=conv$1""#);
        assert_eq!(serde_json::from_str::<Rename>(&json).unwrap(), rename);
        assert!(serde_json::from_str::<Rename>(r#""(=x""#).is_err());
    }
}
