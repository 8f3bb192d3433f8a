//! PyTorch's files: ZIP archives, streams of pickles, and plain pickles.

#![no_main]

use burn_twins_fuzz::weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| weights(bytes));
