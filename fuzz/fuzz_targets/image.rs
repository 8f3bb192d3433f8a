//! Image files: PNG, JPEG, WebP, PPM and PGM, as they are stored, and resized and cropped.

#![no_main]

use burn_twins_fuzz::{images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{Channels, FolderConfig, Preprocessing, NonImages};

fuzz_target!(|bytes: &[u8]| {
    write("image/class/image.png", bytes);
    let config = FolderConfig::new(path("image"));
    images(bytes.len(), || config.clone().with_channels(Channels::Grey).open());
    let preprocessing = Preprocessing::ResizeCrop { resize: 40, crop: 32 };
    images(bytes.len(), || config.clone().with_preprocessing(preprocessing).with_non_images(NonImages::Skip).open());
});
