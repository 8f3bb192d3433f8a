use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::lines::TextFile;
use crate::formats::listed::listing::{Listing, label_of};

/// Reads one list for each part, with one path `CLASS/IMAGE` per line. The classes are those of the training part, in alphabetical order.
pub(super) fn read(root: PathBuf, lists: Vec<(Part, PathBuf)>) -> Result<Listing, DataError> {
    let lists = lists.into_iter().map(|(part, path)| Ok((part, TextFile::read(path)?)));
    let lists: Vec<(Part, TextFile)> = lists.collect::<Result<_, DataError>>()?;
    let mut classes = BTreeSet::new();
    for (_, list) in lists.iter().filter(|(part, _)| *part == Part::Train) {
        for (number, line) in list.lines() {
            classes.insert(class(list, number, line)?);
        }
    }
    let labels: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(label, class)| (*class, label)).collect();
    let mut listing = Listing::new(root, classes.iter().map(|class| (*class).to_owned()).collect())?;
    for (part, list) in &lists {
        for (number, line) in list.lines() {
            let label = label_of(&labels, list, number, class(list, number, line)?)?;
            listing.add(list, number, line, label, *part)?;
        }
    }
    Ok(listing)
}

fn class<'a>(list: &TextFile, number: usize, line: &'a str) -> Result<&'a str, DataError> {
    match line.split_once('/') {
        Some((class, image)) if !class.is_empty() && !image.is_empty() => Ok(class),
        _ => Err(list.syntax(number, line, "a path CLASS/IMAGE")),
    }
}
