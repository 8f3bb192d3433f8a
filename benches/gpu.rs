//! The program `twins` and the benchmarks in one binary: on a machine without Rust they are run from a bundle (`.ci/gpu-bundle`), in which each
//! binary with CUDA's compiler would take 20 MB.
//!
//! It runs what it is called as, by a link to it: a benchmark, `twins`, or `devices`, which prints the devices that are compiled in and
//! present.

use std::path::Path;
use std::process::ExitCode;

use burn_twins::DeviceChoice;

#[path = "attacks.rs"]
mod attacks;
#[path = "layer.rs"]
mod layer;
#[path = "throughput.rs"]
mod throughput;
#[path = "training.rs"]
mod training;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    match Path::new(&called).file_stem().and_then(|name| name.to_str()).unwrap_or_default() {
        "attacks" => attacks::main(),
        "layer" => layer::main(),
        "throughput" => throughput::main(),
        "training" => training::main(),
        "twins" => return twins_cli::twins(),
        "devices" => DeviceChoice::present().iter().for_each(|device| println!("{device}")),
        // By its own name, as `cargo bench` calls it.
        _ => println!("call this by a link named attacks, layer, throughput, training, twins or devices"),
    }
    ExitCode::SUCCESS
}
