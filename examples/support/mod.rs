//! What the examples' command lines share.
#![allow(dead_code)] // Each example uses a part of it.

pub mod images;
pub mod journal;

use std::process::ExitCode;
use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::DeviceChoice;
use burn_twins::data::{DataError, DataSource, ImageDataset, Limited, Part};
use clap::Args;

/// The outcome of an example: any library's error, told in one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Options that every example has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Device to compute on: cpu, ndarray, wgpu, vulkan, cuda or remote:ADDRESS, which `serve` prints (those compiled in).
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,

    /// Seed of every random draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Threads for the CPU backends; all cores unless given.
    #[arg(long)]
    pub threads: Option<usize>,
}

impl Common {
    /// Sets the number of threads and opens the device.
    pub fn open(&self) -> Result<Device, Box<dyn std::error::Error>> {
        open(&self.device, self.threads)
    }
}

/// Sets the number of threads and opens the device.
pub fn open(device: &DeviceChoice, threads: Option<usize>) -> Result<Device, Box<dyn std::error::Error>> {
    if let Some(threads) = threads {
        if threads == 0 {
            return Err("--threads is 0; give at least 1, or leave it out for all cores".into());
        }
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    Ok(device.open()?)
}

/// Opens one part of a data source, its first `limit` samples.
pub fn open_data(
    source: &DataSource,
    part: Part,
    limit: Option<usize>,
) -> Result<Arc<dyn ImageDataset>, DataError> {
    let dataset = source.open(part)?;
    Ok(match limit {
        Some(limit) => Arc::new(Limited::new(dataset, limit)?),
        None => dataset,
    })
}

/// Tells an error on one line and ends with status 1.
pub fn exit(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A bar over images with the time left, on standard error where that is a terminal.
pub fn bar(images: usize) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len} images, {eta} left");
    indicatif::ProgressBar::new(images as u64).with_style(style.expect("the template is fixed"))
}
