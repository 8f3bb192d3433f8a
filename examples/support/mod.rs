//! What the examples' command lines share.
#![allow(dead_code)] // Each example uses a part of it.

pub mod images;
pub mod journal;

use std::process::ExitCode;
use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::data::{DataError, DataSource, ImageDataset, Limited, Part};
use burn_twins::{BatchMemory, DeviceChoice, available_memory};
use clap::Args;

/// The outcome of an example: any library's error, told in one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Options that every example has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Device to compute on: cpu, ndarray, wgpu, vulkan or cuda (those compiled in).
    #[arg(long, default_value = "cpu")]
    pub device: DeviceChoice,

    /// Seed of every random draw.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,

    /// Threads for the CPU backends; all cores unless given.
    #[arg(long)]
    pub threads: Option<usize>,

    /// Do not check beforehand, on a CPU, that a batch fits into memory.
    #[arg(long)]
    pub no_memory_check: bool,
}

impl Common {
    /// Sets the number of threads and opens the device.
    pub fn open(&self) -> Result<Device, Box<dyn std::error::Error>> {
        if let Some(threads) = self.threads {
            if threads == 0 {
                return Err("--threads is 0; give at least 1, or leave it out for all cores".into());
            }
            rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
        }
        Ok(self.device.open()?)
    }

    /// Checks that a work can be divided among so many devices; `in_code` does it for GPUs.
    pub fn check_shares(&self, devices: usize, in_code: &str) -> Outcome {
        match devices {
            0 => Err("--devices is 0; give at least 1".into()),
            1 => Ok(()),
            _ if matches!(self.device, DeviceChoice::Cpu | DeviceChoice::Ndarray) => Ok(()),
            n => Err(format!(
                "--devices {n} on `{}`: this program opens one GPU; leave --devices out, or give {in_code} in code of \
                 your own",
                self.device
            )
            .into()),
        }
    }

    /// Checks by running small batches that one of so many images fits into memory: on a CPU, whose memory is the
    /// system's.
    pub fn check_memory(&self, batch_size: usize, mut run: impl FnMut(usize)) -> Outcome {
        let on_cpu = matches!(self.device, DeviceChoice::Cpu | DeviceChoice::Ndarray);
        let available = available_memory().filter(|_| on_cpu && !self.no_memory_check);
        let Some(available) = available else { return Ok(()) };
        let measured = BatchMemory::measure(batch_size, |images| -> Outcome {
            run(images);
            Ok(())
        })?;
        let Some(memory) = measured else { return Ok(()) };
        memory.check(batch_size, available).map_err(|error| format!("{error} (--no-memory-check)").into())
    }
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
