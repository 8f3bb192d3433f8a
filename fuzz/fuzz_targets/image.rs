//! Image files: PNG, JPEG, WebP, PPM and PGM, as they are stored, and resized and cropped.

#![no_main]

use burn_twins_fuzz::{images, path, write};
use libfuzzer_sys::fuzz_target;
use twins_data::{Channels, FolderConfig, NonImages, Preprocessing};

fuzz_target!(|bytes: &[u8]| {
    write("image/class/image.png", bytes);
    // Without the cache, whose size is a setting.
    let config = FolderConfig::new(path("image")).with_cache_bytes(0);
    // One of two ways for each file, because most of the time is that of the decoder.
    let config = match bytes.len() % 2 {
        0 => config.with_channels(Channels::Grey),
        _ => {
            let preprocessing = Preprocessing::ResizeCrop { resize: 40, crop: 32 };
            config.with_preprocessing(preprocessing).with_non_images(NonImages::Skip)
        }
    };
    images(bytes.len(), || config.open());
});
