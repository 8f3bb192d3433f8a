//! Images as bytes: decoding, resizing and cropping, and the cache of decoded files.

pub(crate) mod cache;
pub(crate) mod decode;
mod decode_cost;
pub(crate) mod image;
pub(crate) mod image_files;
mod jpeg_end;
mod planes;
pub(crate) mod preprocessing;
pub(crate) mod resize;
