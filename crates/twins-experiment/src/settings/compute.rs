use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::devices::DeviceChoice;
use crate::error::ExperimentError;

/// Where an experiment runs. It does not belong to what the experiment is: a run may be resumed on other devices.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `devices` | `["cpu"]` | devices that divide the images among them; the first holds the model | at least one |
/// | `cpu_shards` | 1 | parts of the CPU's cores that divide the images as several devices do | ≥ 1; above 1 only with one CPU device |
/// | `threads` | none: all cores | threads of the CPU backends | ≥ 1 |
/// | `memory_check` | true | whether a CPU's memory is checked for a batch before the training | |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// Devices that divide the images among them.
    pub devices: Vec<DeviceChoice>,
    /// Parts of the CPU's cores that divide the images.
    pub cpu_shards: usize,
    /// Threads of the CPU backends; all cores without.
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
    /// With every key present.
    pub(crate) fn full() -> Self {
        Self { threads: Some(1), ..Self::default() }
    }

    /// Checks that the images can be divided as the settings say.
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
            return Err(ExperimentError::ShardsOfNoCpu { shards: self.cpu_shards, devices: self.names() });
        }
        Ok(())
    }

    /// The devices' names with commas between them.
    pub fn names(&self) -> String {
        self.devices.iter().map(DeviceChoice::to_string).collect::<Vec<_>>().join(",")
    }

    /// Among how many devices or shards of a CPU the images are divided.
    pub fn replicas(&self) -> usize {
        self.devices.len() * self.cpu_shards
    }

    /// Sets the number of threads, which holds for the whole process, and opens the devices. The first one holds the model.
    ///
    /// # Errors
    ///
    /// A device that cannot be opened; another number of threads after the first use of the CPU.
    pub fn open(&self) -> Result<Vec<Device>, ExperimentError> {
        self.check()?;
        if let Some(threads) = self.threads {
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
            // Only then: asking for the number of threads makes the pool. That of an experiment before may be of the right size.
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
