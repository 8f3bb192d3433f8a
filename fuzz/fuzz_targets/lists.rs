//! Lists of images in their five layouts. The first byte chooses the layout, the second one its file.

#![no_main]

use std::sync::Once;

use burn_twins_fuzz::{choice, images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{FolderConfig, ListLayout, ListedDataset, Part};

/// The images that the lists name, each of one grey pixel.
const IMAGES: [&str; 10] = [
    "a/1.png",
    "a/2.png",
    "images/a/1.png",
    "images/a/2.png",
    "images/a/3.png",
    "images/a_1.jpg",
    "images/b_2.jpg",
    "images/a_3.jpg",
    "Final_Test/Images/1.png",
    "Final_Test/Images/2.png",
];

const GTSRB: &str =
    "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n1.png;2;2;0;0;1;1;3\n2.png;2;2;0;0;1;1;42\n";

type Files = &'static [(&'static str, &'static str)];

const LAYOUTS: [(&str, ListLayout, Files); 5] = [
    ("list", ListLayout::List, &[("list.tsv", "a/1.png\tb\ttrain\na/2.png\tc\ttrain\n")]),
    (
        "cub200",
        ListLayout::Cub200,
        &[
            ("images.txt", "1 a/1.png\n2 a/2.png\n"),
            ("image_class_labels.txt", "1 1\n2 2\n"),
            ("train_test_split.txt", "1 1\n2 1\n"),
            ("classes.txt", "1 b\n2 c\n"),
        ],
    ),
    (
        "dtd",
        ListLayout::Dtd { split: 1 },
        &[
            ("labels/train1.txt", "a/1.png\n"),
            ("labels/val1.txt", "a/2.png\n"),
            ("labels/test1.txt", "a/3.png\n"),
        ],
    ),
    (
        "pets",
        ListLayout::Pets,
        &[("annotations/trainval.txt", "a_1 1 1 1\nb_2 2 1 1\n"), ("annotations/test.txt", "a_3 1 1 1\n")],
    ),
    ("gtsrb", ListLayout::Gtsrb, &[("GT-final_test.csv", GTSRB)]),
];

static WRITTEN: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    WRITTEN.call_once(|| {
        for (folder, ..) in LAYOUTS {
            for image in IMAGES {
                write(&format!("{folder}/{image}"), b"P5 1 1 255\n\x07");
            }
        }
    });
    let (layout, rest) = choice(bytes);
    let (which, content) = choice(rest);
    let (folder, layout, files) = LAYOUTS[layout % LAYOUTS.len()];
    let mut size = 0;
    for (place, (name, usual)) in files.iter().enumerate() {
        let content = if place == which % files.len() { content } else { usual.as_bytes() };
        write(&format!("{folder}/{name}"), content);
        size += content.len();
    }
    let root = if layout == ListLayout::List { path(folder).join("list.tsv") } else { path(folder) };
    let part = if layout == ListLayout::Gtsrb { Part::Test } else { Part::Train };
    images(size, || ListedDataset::open(layout, part, &FolderConfig::new(root)));
});
