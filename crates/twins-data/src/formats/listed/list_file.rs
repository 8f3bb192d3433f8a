use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::fault::ListFault;
use crate::formats::listed::lines::{TextFile, abridged};
use crate::formats::listed::listing::{Listing, label_of};

const FORM: &str = "an image, a class and a part with tabs between them";

/// Reads a custom list. It has a line for each image with its path relative to the list's folder, its class, and `train`, `val` or `test`,
/// with tabs between them. Lines that begin with `#` are comments. The classes are those of `train`, in alphabetical order.
pub(super) fn read(path: &Path) -> Result<Listing, DataError> {
    let list = TextFile::read(path.to_path_buf())?;
    let mut images = Vec::new();
    for (number, line) in list.lines().filter(|(_, line)| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [image, class, part] = fields[..] else { return Err(list.syntax(number, line, FORM)) };
        let part = match part {
            "train" => Part::Train,
            "val" => Part::Validation,
            "test" => Part::Test,
            other => {
                let found = abridged(other);
                return Err(list.fault(number, ListFault::Syntax { found, expected: "train, val or test" }));
            }
        };
        if class.is_empty() {
            return Err(list.syntax(number, line, FORM));
        }
        images.push((number, image, class, part));
    }
    let trained = images.iter().filter(|(.., part)| *part == Part::Train).map(|(_, _, class, _)| *class);
    let classes: Vec<&str> = trained.collect::<BTreeSet<_>>().into_iter().collect();
    let labels: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(label, class)| (*class, label)).collect();
    let root = path.parent().unwrap_or(Path::new(""));
    let mut listing = Listing::new(root, classes.iter().map(|class| (*class).to_owned()).collect())?;
    for (number, image, class, part) in &images {
        listing.add(&list, *number, image, label_of(&labels, &list, *number, class)?, *part)?;
    }
    Ok(listing)
}
