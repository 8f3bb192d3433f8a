use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::fault::ListFault;
use crate::formats::listed::layout::nested;
use crate::formats::listed::lines::{TextFile, abridged};
use crate::formats::listed::listing::Listing;

const CLASSES: usize = 43;
const FORM: &str = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId";

/// The published split of GTSRB (Stallkamp et al., 2012): PPM images and a CSV file, for each class of the training part
/// (`Final_Training/Images/00000/GT-00000.csv`, or `Training/` in the archive of 2019) and for the test part (`Final_Test/Images/`, with
/// `GT-final_test.csv` there or in a folder around it). Images are not cropped to the traffic sign.
///
/// Each part is a separate archive, and only the requested one is read.
pub(super) fn read(folder: &Path, part: Part) -> Result<Listing, DataError> {
    let names = (0..CLASSES).map(|class| format!("{class:05}")).collect::<Vec<_>>();
    match part {
        Part::Train => {
            let places =
                ["Final_Training/Images", "Training", "GTSRB/Final_Training/Images", "GTSRB/Training"];
            let found = places.into_iter().find(|place| folder.join(place).is_dir());
            let root = folder.join(found.unwrap_or(places[0]));
            let mut listing = Listing::new(&root, names.clone())?;
            for name in names {
                let list = TextFile::read(root.join(&name).join(format!("GT-{name}.csv")))?;
                add(&mut listing, &list, &format!("{name}/"), part)?;
            }
            Ok(listing)
        }
        Part::Test => {
            let base = nested(folder, &["GTSRB"], "Final_Test");
            let root = base.join("Final_Test/Images");
            let list = [&root, &base.join("Final_Test"), &base, folder]
                .into_iter()
                .map(|place| place.join("GT-final_test.csv"))
                .find(|path| path.is_file())
                .unwrap_or_else(|| root.join("GT-final_test.csv"));
            let mut listing = Listing::new(&root, names)?;
            add(&mut listing, &TextFile::read(list)?, "", part)?;
            Ok(listing)
        }
        Part::Validation => Err(DataError::MissingPart { folder: folder.to_path_buf(), part }),
    }
}

fn add(listing: &mut Listing, list: &TextFile, folder: &str, part: Part) -> Result<(), DataError> {
    // The first line has the names of the columns. The published files quote no field, so no CSV library is needed.
    for (number, line) in list.lines().skip(1) {
        let fields: Vec<&str> = line.split(';').map(str::trim).collect();
        let (Some(image), Some(class), 8) = (fields.first(), fields.last(), fields.len()) else {
            return Err(list.syntax(number, line, FORM));
        };
        let label = class.parse().ok().filter(|label| *label < CLASSES).ok_or_else(|| {
            let expected = format!("a number from 0 to {}", CLASSES - 1);
            list.fault(number, ListFault::UnknownClass { class: abridged(class), expected })
        })?;
        listing.add(list, number, &format!("{folder}{image}"), label, part)?;
    }
    Ok(())
}
