use twins_files::one_line;

use crate::datasets::part::Part;

/// Errors in a line of a list of images.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListFault {
    /// The line is not UTF-8 text.
    #[error("it is not text; download the list again")]
    NotText,

    /// The line does not have the list's form.
    #[error("\"{}\" is not {expected}; correct the line, or download the list again", one_line(found))]
    Syntax {
        /// The line, or its beginning.
        found: String,
        /// The expected form.
        expected: &'static str,
    },

    /// The path of an image is absolute or leads outside the data set's folder.
    #[error(
        "the image \"{}\" is not in the data set's folder; give a relative path without \"..\" and \".\"",
        one_line(image)
    )]
    Outside {
        /// The path.
        image: String,
    },

    /// There is no file of that name.
    #[error("the image \"{}\" does not exist; unpack the whole archive, or remove the line", one_line(image))]
    MissingImage {
        /// The path.
        image: String,
    },

    /// An image is listed twice, in the same part or in different parts.
    #[error(
        "the image \"{}\" was listed before, in the {first} part; remove one of the two lines",
        one_line(image)
    )]
    Twice {
        /// The path.
        image: String,
        /// The part of the first line.
        first: Part,
    },

    /// A class does not exist.
    #[error("there is no class \"{}\"; it must be {expected}", one_line(class))]
    UnknownClass {
        /// The class.
        class: String,
        /// The existing classes.
        expected: String,
    },

    /// The number of a class has two names.
    #[error(
        "class \"{}\" is called \"{}\" elsewhere; correct one of the two lines",
        one_line(class),
        one_line(before)
    )]
    TwoNames {
        /// The class in this line.
        class: String,
        /// The class in an earlier line.
        before: String,
    },

    /// An image in one list is missing from another list.
    #[error("image number {id} is not in {other}; take all lists from the same download")]
    MissingId {
        /// The image's number.
        id: u64,
        /// The list that lacks it.
        other: &'static str,
    },
}
