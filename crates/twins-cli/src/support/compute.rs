use burn_twins::DeviceChoice;
use burn_twins::experiment::{ComputeConfig, ExperimentError};
use clap::Args;

use super::OptionSettings;

/// Devices, threads and the seed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Devices and seed")]
pub struct ComputeOptions {
    /// Device to compute on: cpu, ndarray, wgpu, vulkan or cuda (those compiled in), wgpu:1 or cuda:1 for a GPU by its number,
    /// or remote:ADDRESS, which `serve` prints. Several, with commas between them, divide the images among them [default: cpu].
    #[arg(long, value_delimiter = ',')]
    pub device: Vec<DeviceChoice>,

    /// Parts of the CPU's cores among which `--device cpu` divides the images, as several devices do; --resume may give
    /// another number, or other devices [default: 1].
    #[arg(long, value_name = "N", alias = "devices")]
    pub cpu_shards: Option<usize>,

    /// Seed of every random draw [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Threads for the CPU backends [default: all cores].
    #[arg(long)]
    pub threads: Option<usize>,

    /// Do not check beforehand, on a CPU, that a batch fits into memory.
    #[arg(long)]
    pub no_memory_check: bool,
}

impl ComputeOptions {
    /// The seed, 0 unless given.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// The devices and threads, with defaults for what was not given.
    pub fn config(&self) -> ComputeConfig {
        let usual = ComputeConfig::default();
        ComputeConfig {
            devices: if self.device.is_empty() { usual.devices } else { self.device.clone() },
            cpu_shards: self.cpu_shards.unwrap_or(usual.cpu_shards),
            threads: self.threads,
            memory_check: !self.no_memory_check,
        }
    }

    /// The settings that were given.
    ///
    /// # Errors
    ///
    /// None for values that the command line takes.
    pub fn settings(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--device", "compute.devices", (!self.device.is_empty()).then_some(&self.device))?;
        settings.add("--cpu-shards", "compute.cpu_shards", self.cpu_shards)?;
        settings.add("--seed", "training.seed", self.seed)?;
        settings.add("--threads", "compute.threads", self.threads)?;
        settings.add_flag("--no-memory-check", "compute.memory_check", false, self.no_memory_check)
    }
}
