use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::class_folders;
use crate::formats::listed::layout::nested;
use crate::formats::listed::listing::Listing;

/// One of the ten published splits of the Describable Textures Dataset (Cimpoi et al., CVPR 2014): `labels/train1.txt`,
/// `labels/val1.txt`, `labels/test1.txt`, and the images in `images/CLASS/`.
pub(super) fn read(folder: &Path, split: u8) -> Result<Listing, DataError> {
    let folder = nested(folder, &["dtd"], "labels");
    let list = |name: &str| folder.join("labels").join(format!("{name}{split}.txt"));
    let lists =
        vec![(Part::Train, list("train")), (Part::Validation, list("val")), (Part::Test, list("test"))];
    class_folders::read(folder.join("images"), lists)
}
