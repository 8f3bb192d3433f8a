//! What several command lines have in common.

pub mod file_hash;
pub mod images;
pub mod parts;
pub mod progress;

use std::sync::Arc;

use burn::tensor::Device;
use burn_twins::data::{DataError, DataSource, ImageDataset, Limit, Part};
use burn_twins::{BatchMemory, DeviceChoice, available_memory};
use clap::Args;

/// The outcome of a command: any library's error, told in one line.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Options that every command has.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Devices and seed")]
pub struct Common {
    /// Device to compute on: cpu, ndarray, wgpu, vulkan or cuda (those compiled in), wgpu:1 or cuda:1 for a GPU by its number,
    /// or remote:ADDRESS, which `serve` prints. Several, with commas between them, divide the images among them.
    #[arg(long, default_value = "cpu", value_delimiter = ',')]
    pub device: Vec<DeviceChoice>,

    /// Shares of the CPU's cores among which `--device cpu` divides the images, as several devices do; --resume may give
    /// another number, or other devices.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub devices: usize,

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
    /// Checks that the images can be divided as asked.
    pub fn check_devices(&self) -> Outcome {
        match (self.devices, self.device.as_slice()) {
            (0, _) => Err("--devices is 0; give at least 1".into()),
            (1, _) => Ok(()),
            (_, [device]) if device.is_cpu() => Ok(()),
            (n, _) => Err(format!(
                "--devices {n} divides the cores of one CPU, and --device is {}; leave --devices out, and name every \
                 device in --device, as in --device cuda:0,cuda:1",
                self.device_names()
            )
            .into()),
        }
    }

    /// The devices as they were named.
    pub fn device_names(&self) -> String {
        self.device.iter().map(DeviceChoice::to_string).collect::<Vec<_>>().join(",")
    }

    /// How many shares of the CPU are among the devices.
    pub fn cpu_shares(&self) -> usize {
        self.device.iter().filter(|device| device.is_cpu()).count() * self.devices
    }

    /// How many devices or shares of a CPU the images are divided among.
    pub fn shares(&self) -> usize {
        self.device.len() * self.devices
    }

    /// Sets the number of threads and opens the devices to divide the images among. The first holds the model.
    pub fn open(&self) -> Result<Vec<Device>, Box<dyn std::error::Error>> {
        set_threads(self.threads)?;
        let opened = self.device.iter().map(DeviceChoice::open).collect::<Result<Vec<_>, _>>()?;
        Ok(opened.into_iter().flat_map(|device| vec![device; self.devices]).collect())
    }

    /// Checks by running small batches that one of so many images fits into memory: on a CPU, whose memory is the
    /// system's.
    pub fn check_memory(&self, batch_size: usize, mut run: impl FnMut(usize)) -> Outcome {
        let on_cpu = self.device[0].is_cpu();
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

/// Sets the number of threads of the CPU backends.
pub fn set_threads(threads: Option<usize>) -> Outcome {
    match threads {
        Some(0) => Err("--threads is 0; give at least 1, or leave it out for all cores".into()),
        Some(threads) => Ok(rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?),
        None => Ok(()),
    }
}

/// Opens one part of a data source, within the limit.
pub fn open_data(
    source: &DataSource,
    part: Part,
    limit: Option<Limit>,
) -> Result<Arc<dyn ImageDataset>, DataError> {
    limited(source.open(part)?, limit)
}

/// The samples within the limit, all without one.
pub fn limited(
    dataset: Arc<dyn ImageDataset>,
    limit: Option<Limit>,
) -> Result<Arc<dyn ImageDataset>, DataError> {
    limit.map_or(Ok(dataset.clone()), |limit| limit.apply(dataset))
}

/// Says which images a limit leaves, where it leaves some out: `all` and `used` are the part before and after it.
pub fn print_limit(
    part: &str,
    limit: Option<Limit>,
    all: usize,
    used: &dyn ImageDataset,
) -> Result<(), DataError> {
    let Some(limit) = limit.filter(|_| used.len() < all) else { return Ok(()) };
    let mut counts = vec![0; used.classes().len()];
    for label in used.labels()? {
        counts[label] += 1;
    }
    let (least, most) =
        (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    let classes = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let rule = match limit {
        Limit::Stratified(count) => {
            format!(
                "each class in proportion, drawn with seed {}; --limit first:{count} takes the first",
                Limit::SEED
            )
        }
        Limit::First(_) => "the first in the data set's order".to_owned(),
    };
    println!("{part}: {} of {all} images, {classes} of each class ({rule})", used.len());
    Ok(())
}
