use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::folder::config::FolderConfig;
use crate::formats::folder::listing::list;
use crate::formats::listed::layout::nested;
use crate::formats::listed::listing::Listing;

/// The number of training images of each class.
const TRAIN_PER_CLASS: usize = 60;

/// Caltech-256 (Griffin et al., 2007): `256_ObjectCategories/001.ak47/001_0001.jpg` and so on, 257 classes with `257.clutter`.
///
/// There is no published split. The first 60 images of each class are the training part and the others are the test part, as in "Do
/// Adversarially Robust ImageNet Models Transfer Better?" (Salman et al., NeurIPS 2020), which does not draw a random split either. Files
/// without the name of an image are skipped: the archive contains a few files that do not belong to the data set.
pub(super) fn read(folder: &Path) -> Result<Listing, DataError> {
    let root = nested(folder, &["256_ObjectCategories"], "001.ak47");
    let classes = FolderConfig::new(&root).class_names()?;
    let mut listing = Listing::new(&root, classes.clone())?;
    for (label, class) in classes.iter().enumerate() {
        let (_, files) = list(&root.join(class))?;
        let images = files.iter().filter_map(|name| name.to_str()).filter(|name| is_image(name));
        for (index, image) in images.enumerate() {
            let part = if index < TRAIN_PER_CLASS { Part::Train } else { Part::Test };
            listing.add_found(format!("{class}/{image}"), label, part);
        }
    }
    Ok(listing)
}

/// Whether a name has the form 001_0001.jpg.
fn is_image(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let stem = name.strip_suffix(".jpg").and_then(|stem| stem.split_once('_'));
    stem.is_some_and(|(class, number)| digits(class) && digits(number))
}
