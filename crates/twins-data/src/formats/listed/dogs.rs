use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::class_folders;
use crate::formats::listed::layout::nested;
use crate::formats::listed::listing::Listing;

/// The published split of Stanford Dogs (Khosla et al., 2011): `train_list` and `test_list`, and the images in
/// `Images/CLASS/`.
///
/// The archive has the lists as MATLAB files of cell arrays, which no kept crate reads (matfile 0.5 reads numeric arrays alone).
/// They are converted once to text, a path a line.
pub(super) fn read(folder: &Path) -> Result<Listing, DataError> {
    let mut lists = Vec::new();
    for (part, name) in [(Part::Train, "train_list"), (Part::Test, "test_list")] {
        // The lists are an archive of their own, which some unpack into a folder.
        let folder = nested(folder, &["lists"], &format!("{name}.txt"));
        let text = folder.join(name).with_extension("txt");
        if !text.is_file() {
            return Err(DataError::MatlabList { text });
        }
        lists.push((part, text));
    }
    class_folders::read(folder.join("Images"), lists)
}
