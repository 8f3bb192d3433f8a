//! Safetensors files, with and without the card of a model of this library.

#![no_main]

use burn_twins_fuzz::weights;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| weights(bytes));
