use std::collections::BTreeMap;
use std::path::Path;

use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::fault::ListFault;
use crate::formats::listed::layout::nested;
use crate::formats::listed::lines::{TextFile, abridged};
use crate::formats::listed::listing::Listing;

const FORM: &str = "an image such as Abyssinian_100, and the numbers of class, species and breed";

/// The published split of Oxford-IIIT Pet (Parkhi et al., CVPR 2012): `annotations/trainval.txt` and `annotations/test.txt`, and the images
/// in `images/`. The names of the classes are taken from the names of their images.
pub(super) fn read(folder: &Path) -> Result<Listing, DataError> {
    let folder = nested(folder, &["oxford-iiit-pet"], "annotations");
    let open = |name: &str| TextFile::read(folder.join("annotations").join(name));
    let lists = [(Part::Train, open("trainval.txt")?), (Part::Test, open("test.txt")?)];
    let mut names = BTreeMap::<u64, &str>::new();
    let mut images = Vec::new();
    for (part, list) in &lists {
        for (number, line) in list.lines().filter(|(_, line)| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [image, class, _, _] = fields[..] else { return Err(list.syntax(number, line, FORM)) };
            let (Some((name, _)), Ok(class)) = (image.rsplit_once('_'), class.parse::<u64>()) else {
                return Err(list.syntax(number, line, FORM));
            };
            let before = match part {
                Part::Train => *names.entry(class).or_insert(name),
                _ => names.get(&class).copied().ok_or_else(|| {
                    let expected = format!("one of the {} classes of trainval.txt", names.len());
                    list.fault(number, ListFault::UnknownClass { class: class.to_string(), expected })
                })?,
            };
            if before != name {
                let [class, before] = [name, before].map(abridged);
                return Err(list.fault(number, ListFault::TwoNames { class, before }));
            }
            images.push((list, number, image, class, *part));
        }
    }
    let mut listing =
        Listing::new(folder.join("images"), names.values().map(|name| (*name).to_owned()).collect())?;
    let labels: BTreeMap<u64, usize> =
        names.keys().enumerate().map(|(label, class)| (*class, label)).collect();
    for (list, number, image, class, part) in images {
        listing.add(list, number, &format!("{image}.jpg"), labels[&class], part)?;
    }
    Ok(listing)
}
