//! The program `twins` and the benchmarks in one binary.
//!
//! A machine without Rust runs them from a bundle (`.ci/gpu-bundle`). Separate binaries would each need 20 MB for CUDA's compiler.
//!
//! The name of the link through which the binary is called selects what it runs: a benchmark, `twins`, or `devices`. The last prints the
//! devices that are compiled in and present.

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
        // Called by its own name, as `cargo bench` does.
        _ => println!("call this by a link named attacks, layer, throughput, training, twins or devices"),
    }
    ExitCode::SUCCESS
}
