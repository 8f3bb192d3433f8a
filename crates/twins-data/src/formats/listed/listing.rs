use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use crate::datasets::class_names::refuse_duplicates;
use crate::datasets::part::Part;
use crate::error::DataError;
use crate::formats::listed::fault::ListFault;
use crate::formats::listed::lines::{TextFile, abridged, fault};

/// The common form of all lists: images, each with its class and its part.
///
/// Each reader of an archive's lists fills a listing, and the listing performs all checks that they have in common.
pub(super) struct Listing {
    /// The folder to which the paths of the images are relative.
    root: PathBuf,
    classes: Vec<String>,
    entries: Vec<Entry>,
    /// The list files; entries refer to them by index.
    lists: Vec<PathBuf>,
    /// The position of each image, to detect images that are listed twice.
    seen: HashMap<String, usize>,
}

struct Entry {
    image: String,
    label: u32,
    part: Part,
    list: u32,
    line: usize,
}

impl Listing {
    /// Creates a listing without images.
    ///
    /// # Errors
    /// Two classes with the same name.
    pub(super) fn new(root: impl Into<PathBuf>, classes: Vec<String>) -> Result<Self, DataError> {
        let root = root.into();
        refuse_duplicates(&classes, Some(&root))?;
        let (entries, lists, seen) = (Vec::new(), Vec::new(), HashMap::new());
        Ok(Self { root, classes, entries, lists, seen })
    }

    /// Adds the image that a line names by its path relative to the root, with `/` between folders.
    pub(super) fn add(
        &mut self,
        list: &TextFile,
        line: usize,
        image: &str,
        label: usize,
        part: Part,
    ) -> Result<(), DataError> {
        if !is_inside(image) {
            return Err(list.fault(line, ListFault::Outside { image: abridged(image) }));
        }
        if label >= self.classes.len() {
            let expected = format!("one of the {} classes", self.classes.len());
            return Err(list.fault(line, ListFault::UnknownClass { class: label.to_string(), expected }));
        }
        if let Some(&first) = self.seen.get(image) {
            let first = self.entries[first].part;
            return Err(list.fault(line, ListFault::Twice { image: abridged(image), first }));
        }
        if self.lists.last() != Some(&list.path) {
            self.lists.push(list.path.clone());
        }
        self.seen.insert(image.to_owned(), self.entries.len());
        let (label, list) = (label as u32, self.lists.len() as u32 - 1);
        self.entries.push(Entry { image: image.to_owned(), label, part, list, line });
        Ok(())
    }

    /// Adds an image that was found by listing the folder.
    pub(super) fn add_found(&mut self, image: String, label: usize, part: Part) {
        self.entries.push(Entry { image, label: label as u32, part, list: u32::MAX, line: 0 });
    }

    /// Whether a part has images.
    pub(super) fn has(&self, part: Part) -> bool {
        self.entries.iter().any(|entry| entry.part == part)
    }

    /// Returns the classes, and the images of a part with their labels, in the order of the list.
    pub(super) fn into_part(self, part: Part) -> Result<PartOfListing, DataError> {
        let mut images = Vec::new();
        for Entry { image, label, part: of, list, line } in self.entries {
            if of != part {
                continue;
            }
            let listed_in = self.lists.get(list as usize);
            if let Some(path) = listed_in.filter(|_| !self.root.join(&image).is_file()) {
                return Err(fault(path, line, ListFault::MissingImage { image: abridged(&image) }));
            }
            images.push((label, image.into_boxed_str()));
        }
        if images.is_empty() {
            return Err(DataError::MissingPart { folder: self.root, part });
        }
        Ok(PartOfListing { root: self.root, classes: self.classes, images })
    }
}

/// The images of one part.
pub(super) struct PartOfListing {
    pub(super) root: PathBuf,
    pub(super) classes: Vec<String>,
    pub(super) images: Vec<(u32, Box<str>)>,
}

/// Whether a relative path stays inside its folder and is the only one of its image: `a/./1.png` and `a//1.png` are others of `a/1.png`.
fn is_inside(image: &str) -> bool {
    let named = |part: &str| !matches!(part, "" | "." | "..");
    let normal = |component: Component| matches!(component, Component::Normal(_));
    // A backslash separates folders on Windows but is part of the name elsewhere; no archive uses one.
    !image.contains('\\') && image.split('/').all(named) && Path::new(image).components().all(normal)
}

/// Looks up the label of a class by its name.
pub(super) fn label_of(
    classes: &HashMap<&str, usize>,
    list: &TextFile,
    line: usize,
    class: &str,
) -> Result<usize, DataError> {
    classes.get(class).copied().ok_or_else(|| {
        let expected = format!("one of the {} classes that the training part has", classes.len());
        list.fault(line, ListFault::UnknownClass { class: abridged(class), expected })
    })
}
