use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use twins_files::one_line;

use crate::devices::DeviceChoice;
use crate::error::ExperimentError;

/// The devices and threads of an experiment. They are not part of its identity: a run may be resumed on other devices.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `devices` | `["cpu"]` | devices among which the images are divided; the first one holds the model | at least one |
/// | `cpu_shards` | 1 | number of CPU shards among which the images are divided, as among several devices | ≥ 1; above 1 only with one CPU device |
/// | `threads` | none: all cores | threads of the CPU backends | ≥ 1 |
/// | `memory_check` | true | whether to check before the training that a batch fits into a CPU's memory | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// The devices among which the images are divided.
    pub devices: Vec<DeviceChoice>,
    /// The number of CPU shards among which the images are divided.
    pub cpu_shards: usize,
    /// The number of threads of the CPU backends; all cores if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Whether memory is checked before the training.
    pub memory_check: bool,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self { devices: vec![DeviceChoice::Cpu], cpu_shards: 1, threads: None, memory_check: true }
    }
}

impl ComputeConfig {
    /// The default configuration with every key present.
    pub(crate) fn full() -> Self {
        Self { threads: Some(1), ..Self::default() }
    }

    /// Checks that the images can be divided as set.
    ///
    /// # Errors
    ///
    /// No device, no shard, no thread, or several shards of anything but one CPU.
    pub fn check(&self) -> Result<(), ExperimentError> {
        if self.devices.is_empty() {
            return Err(ExperimentError::NoDevices);
        }
        if self.cpu_shards == 0 {
            return Err(ExperimentError::Zero { setting: "compute.cpu_shards" });
        }
        if self.threads == Some(0) {
            return Err(ExperimentError::Zero { setting: "compute.threads" });
        }
        let one_cpu = matches!(self.devices.as_slice(), [device] if device.is_cpu());
        if self.cpu_shards > 1 && !one_cpu {
            let devices = one_line(&self.names()).into_owned();
            return Err(ExperimentError::ShardsOfNoCpu { shards: self.cpu_shards, devices });
        }
        Ok(())
    }

    /// The names of the devices, separated by commas.
    pub fn names(&self) -> String {
        self.devices.iter().map(DeviceChoice::to_string).collect::<Vec<_>>().join(",")
    }

    /// The number of devices or CPU shards among which the images are divided.
    pub fn replicas(&self) -> usize {
        self.devices.len() * self.cpu_shards
    }

    /// Sets the number of threads for the whole process, and opens the devices. The first one holds the model.
    ///
    /// # Errors
    ///
    /// A device that cannot be opened; another number of threads after the first use of the CPU.
    pub fn open(&self) -> Result<Vec<Device>, ExperimentError> {
        self.check()?;
        if let Some(threads) = self.threads {
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            // Queried only after an error, because the query creates the pool. The pool of an earlier experiment may have the right size.
            if let Err(error) = built
                && rayon::current_num_threads() != threads
            {
                return Err(ExperimentError::Threads { threads, problem: error.to_string() });
            }
        }
        let opened = self.devices.iter().map(DeviceChoice::open).collect::<Result<Vec<_>, _>>()?;
        Ok(opened.into_iter().flat_map(|device| vec![device; self.cpu_shards]).collect())
    }
}
