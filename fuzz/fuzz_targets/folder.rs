//! Folders of images, whose classes and files may have any name. Zeros separate the entries of the folder. The first byte of each says what
//! it is, and the others are its path.

#![no_main]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use burn_twins_fuzz::{choice, images, path};
use libfuzzer_sys::fuzz_target;
use twins_data::{FolderConfig, NonImages};

/// An image of one pixel, and a file that is none.
const CONTENTS: [&[u8]; 2] = [b"P5 1 1 255\n\x07", b"text"];

/// What an entry can be: a file with one of the contents, or a folder.
const KINDS: usize = CONTENTS.len() + 1;

/// A path in the folder. File systems take names of 255 bytes.
fn inside(name: &[u8]) -> PathBuf {
    let names = name.split(|byte| *byte == b'/').map(|name| &name[..name.len().min(255)]);
    let names = names.filter(|name| ![&b""[..], b".", b".."].contains(name));
    path("folder").join(names.take(3).map(OsStr::from_bytes).collect::<PathBuf>())
}

fuzz_target!(|bytes: &[u8]| {
    // What an earlier input has left.
    let _ = fs::remove_dir_all(path("folder"));
    fs::create_dir(path("folder")).expect("a folder can be made");
    let mut size = 0;
    for entry in bytes.split(|byte| *byte == 0).take(20) {
        let (kind, name) = choice(entry);
        let place = inside(name);
        let parent = place.parent().expect("it is in a folder");
        // Of a file and a folder with one path, the first one stays.
        match CONTENTS.get(kind % KINDS) {
            Some(content) => {
                if fs::create_dir_all(parent).and_then(|()| fs::write(&place, content)).is_ok() {
                    size += content.len();
                }
            }
            None => drop(fs::create_dir_all(place)),
        }
    }
    let config = FolderConfig::new(path("folder")).with_cache_bytes(0);
    images(size, || config.clone().open());
    images(size, || config.clone().with_non_images(NonImages::Skip).open());
});
