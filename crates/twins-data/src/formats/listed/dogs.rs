use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::class_folders;
use crate::formats::listed::layout::nested;
use crate::formats::listed::listing::Listing;

/// The published split of Stanford Dogs (Khosla et al., 2011): `train_list` and `test_list`, and the images in
/// `Images/CLASS/`.
///
/// The archive stores the lists as MATLAB files of cell arrays, which no maintained crate reads (matfile 0.5 reads numeric arrays only).
/// The user converts them once to text files with one path per line.
pub(super) fn read(folder: &Path) -> Result<Listing, DataError> {
    let mut lists = Vec::new();
    for (part, name) in [(Part::Train, "train_list"), (Part::Test, "test_list")] {
        // The lists are in a separate archive, which may have been unpacked into its own folder.
        let folder = nested(folder, &["lists"], &format!("{name}.txt"));
        let text = folder.join(name).with_extension("txt");
        if !text.is_file() {
            return Err(DataError::MatlabList { text });
        }
        lists.push((part, text));
    }
    class_folders::read(folder.join("Images"), lists)
}
