use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::fault::ListFault;
use crate::formats::listed::layout::nested;
use crate::formats::listed::lines::{TextFile, abridged};
use crate::formats::listed::listing::Listing;

/// The published split of CUB-200-2011 (Wah et al., 2011): `images.txt`, `image_class_labels.txt`, `train_test_split.txt` and
/// `classes.txt`, whose lines begin with a number, and the images in `images/`.
pub(super) fn read(folder: &Path) -> Result<Listing, DataError> {
    let folder = nested(folder, &["CUB_200_2011"], "images.txt");
    let open = |name: &str| TextFile::read(folder.join(name));
    let (images, labels) = (open("images.txt")?, open("image_class_labels.txt")?);
    let (split, names) = (open("train_test_split.txt")?, open("classes.txt")?);

    let classes: BTreeMap<u64, &str> = numbered(&names, "a number and the name of a class")?
        .into_iter()
        .map(|(id, (_, name))| (id, name))
        .collect();
    let label: HashMap<u64, usize> = classes.keys().enumerate().map(|(label, id)| (*id, label)).collect();
    let label_of = numbered(&labels, "the numbers of an image and of its class")?;
    let part_of = numbered(&split, "the number of an image, and 1 for training or 0 for the test")?;

    let mut listing =
        Listing::new(folder.join("images"), classes.values().map(|name| (*name).to_owned()).collect())?;
    let image_of = numbered(&images, "the number and the path of an image")?;
    for (list, ids) in [(&labels, &label_of), (&split, &part_of)] {
        if let Some((id, (line, _))) = ids.iter().find(|(id, _)| !image_of.contains_key(id)) {
            return Err(list.fault(*line, ListFault::MissingId { id: *id, other: "images.txt" }));
        }
    }
    for (id, (line, image)) in image_of {
        let missing = |other| images.fault(line, ListFault::MissingId { id, other });
        let (label_line, class) = label_of.get(&id).ok_or_else(|| missing("image_class_labels.txt"))?;
        let label = class.parse().ok().and_then(|class: u64| label.get(&class)).ok_or_else(|| {
            let expected = format!("one of the {} numbers in classes.txt", classes.len());
            labels.fault(*label_line, ListFault::UnknownClass { class: abridged(class), expected })
        })?;
        let part = match part_of.get(&id).ok_or_else(|| missing("train_test_split.txt"))? {
            (_, "1") => Part::Train,
            (_, "0") => Part::Test,
            (line, other) => return Err(split.syntax(*line, other, "1 (training) or 0 (test)")),
        };
        listing.add(&images, line, image, *label, part)?;
    }
    Ok(listing)
}

/// Reads lines of a number and a value. Returns the values by their numbers, each with its line number.
fn numbered<'a>(
    list: &'a TextFile,
    expected: &'static str,
) -> Result<BTreeMap<u64, (usize, &'a str)>, DataError> {
    let mut found = BTreeMap::new();
    for (number, line) in list.lines() {
        let fields = line.split_once(char::is_whitespace).map(|(id, value)| (id.parse().ok(), value.trim()));
        let Some((Some(id), value)) = fields else { return Err(list.syntax(number, line, expected)) };
        if found.insert(id, (number, value)).is_some() {
            return Err(list.syntax(
                number,
                line,
                "a line with a number of its own, which an earlier line has already",
            ));
        }
    }
    Ok(found)
}
