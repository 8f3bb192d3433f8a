use burn_twins::DeviceChoice;
use burn_twins::experiment::{ComputeConfig, ExperimentError};
use clap::Args;

use super::OptionSettings;

/// Devices, threads and the seed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Devices and seed")]
pub struct ComputeOptions {
    /// Device to compute on: cpu, ndarray, wgpu, vulkan or cuda (if compiled in), wgpu:1 or cuda:1 for a GPU by its number, or
    /// remote:ADDRESS as printed by `serve`. Several devices, separated by commas, divide the images among them [default: cpu].
    #[arg(long, value_delimiter = ',')]
    pub device: Vec<DeviceChoice>,

    /// Number of CPU shards: `--device cpu` divides its cores into this many groups, which share the images as several devices do. --resume
    /// may use another number of shards, or other devices [default: 1].
    #[arg(long, value_name = "N", alias = "devices")]
    pub cpu_shards: Option<usize>,

    /// Seed of every random draw [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Threads of the CPU backends [default: all cores].
    #[arg(long)]
    pub threads: Option<usize>,

    /// On a CPU, skip the check that a batch fits into memory.
    #[arg(long)]
    pub no_memory_check: bool,
}

impl ComputeOptions {
    /// The seed; 0 by default.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// The devices and threads; options that were not given have their defaults.
    pub fn config(&self) -> ComputeConfig {
        let usual = ComputeConfig::default();
        ComputeConfig {
            devices: if self.device.is_empty() { usual.devices } else { self.device.clone() },
            cpu_shards: self.cpu_shards.unwrap_or(usual.cpu_shards),
            threads: self.threads,
            memory_check: !self.no_memory_check,
        }
    }

    /// Adds the settings of the options that were given.
    ///
    /// # Errors
    ///
    /// No error occurs for values that the command line accepts.
    pub fn settings(&self, settings: &mut OptionSettings) -> Result<(), ExperimentError> {
        settings.add("--device", "compute.devices", (!self.device.is_empty()).then_some(&self.device))?;
        settings.add("--cpu-shards", "compute.cpu_shards", self.cpu_shards)?;
        settings.add("--seed", "training.seed", self.seed)?;
        settings.add("--threads", "compute.threads", self.threads)?;
        settings.add_flag("--no-memory-check", "compute.memory_check", false, self.no_memory_check)
    }
}
