//! The library in a browser: a model that recognises digits, PGD on its images, and the built-in digits.
//!
//! Images are `[3, 32, 32]` with values in [0, 1], as flat arrays. `page/worker.js` calls everything here.

mod victim;

use twins_data::{BuiltinDataset, Dataset, Part, Task};
use wasm_bindgen::prelude::*;

pub use victim::Victim;

/// Turns a panic into an exception with its message. It is called when the module is loaded.
#[wasm_bindgen(start)]
pub fn throw_panics() {
    std::panic::set_hook(Box::new(|panic| {
        wasm_bindgen::throw_str(&panic.to_string());
    }));
}

/// Draws a test image of the built-in digits, which no training has seen. Image `index` shows the digit `index % 10`.
///
/// # Errors
///
/// Those of the data set, which draws every image and therefore has none.
#[wasm_bindgen]
pub fn digit(index: u16) -> Result<Vec<f32>, JsError> {
    let digits = BuiltinDataset::new(Task::Target, Part::Test, usize::from(u16::MAX) + 1, 0);
    let image = digits.get(usize::from(index))?.image;
    Ok(image.pixels.into_iter().map(|byte| f32::from(byte) / 255.0).collect())
}
