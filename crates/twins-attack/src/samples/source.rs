use std::error::Error;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::error::AttackError;
use crate::samples::batching::Batching;
use crate::samples::in_memory::Samples;

/// The error of a source that cannot read an image.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// A data set from which an evaluation reads images on demand.
///
/// Labels are requested often. Images are requested rarely: once for the clean pass and once for each attack on the
/// sample. Images are read from several threads at once.
///
/// [`Samples`](crate::Samples) is a source that holds all its images in memory.
#[allow(clippy::len_without_is_empty, reason = "there are no empty sources")]
pub trait SampleSource: Sync {
    /// The number of samples; at least one.
    fn len(&self) -> usize;

    /// Channels, height and width of every image.
    fn image_shape(&self) -> [usize; 3];

    /// The correct class of a sample.
    fn label(&self, index: usize) -> usize;

    /// The number of a sample, which keys its random draws: its index in the data set that this source is a part of.
    fn id(&self, index: usize) -> u64 {
        index as u64
    }

    /// The class that a targeted attack should reach, other than the label.
    fn target(&self, index: usize) -> Option<usize> {
        let _ = index;
        None
    }

    /// The point from which a gradient attack starts, instead of a random or clean point: as many finite values as the
    /// image has. An attack first projects it into its threat model. Restarts begin at random points nevertheless.
    fn start(&self, index: usize) -> Option<&[f32]> {
        let _ = index;
        None
    }

    /// Reads the values of an image, channels first, in [0, 1]. The values must be the same each time; an evaluation ends with
    /// [`AttackError::ImageChanged`] if they are not.
    ///
    /// # Errors
    /// An error if the image cannot be read.
    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError>;
}

/// The samples of an evaluation: a source, the device of the model, and the batch size, which determines how many
/// samples are under attack at a time. Memory is bounded by this number, not by the size of the source.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use twins_attack::{ApgdConfig, Norm, Replica, RobustnessEvaluation, SampleSource, SampleStream, Silent, SourceError};
/// use twins_attack::ThreatModel;
///
/// struct Grey;
/// impl SampleSource for Grey {
///     fn len(&self) -> usize { 1000 }
///     fn image_shape(&self) -> [usize; 3] { [1, 1, 2] }
///     fn label(&self, _index: usize) -> usize { 0 }
///     fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> { Ok(vec![0.5, 0.5 - index as f32 / 4000.0]) }
/// }
///
/// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
/// let stream = SampleStream::new(&Grey, &Device::flex())?.with_batch_size(50)?;
/// let apgd = ApgdConfig::new(ThreatModel::new(Norm::Linf, 0.05)?).with_steps(5).build()?;
/// let replicas = [Replica::new(&victim, Device::flex())];
/// let report = RobustnessEvaluation::new(vec![Box::new(apgd)])?.evaluate_stream(&replicas, &stream, &mut Silent)?;
/// // The margin must be above twice epsilon.
/// assert!((590..=610).contains(&report.robust.correct));
/// # Ok::<(), twins_attack::AttackError>(())
/// ```
#[derive(Clone)]
pub struct SampleStream<'a> {
    source: &'a dyn SampleSource,
    device: Device,
    batching: Batching,
}

impl<'a> SampleStream<'a> {
    /// Creates a stream of samples for a model on this device, in batches of
    /// [`Samples::DEFAULT_BATCH_SIZE`](crate::Samples::DEFAULT_BATCH_SIZE).
    ///
    /// # Errors
    /// [`AttackError::EmptyBatch`] if there are no samples, or if the image shape has no values.
    pub fn new(source: &'a dyn SampleSource, device: &Device) -> Result<Self, AttackError> {
        if source.len() == 0 || source.image_shape().contains(&0) {
            return Err(AttackError::EmptyBatch);
        }
        Ok(Self { source, device: device.clone().inner(), batching: Batching::DEFAULT })
    }

    pub(crate) fn of_samples(samples: &'a Samples) -> Self {
        Self { source: samples, device: samples.device().clone(), batching: samples.batching() }
    }

    /// Sets the number of samples in a batch, as [`Samples::with_batch_size`](crate::Samples::with_batch_size).
    ///
    /// # Errors
    /// [`SettingError::BatchSize`](crate::SettingError::BatchSize) if the batch size is 0.
    pub fn with_batch_size(mut self, batch_size: usize) -> Result<Self, AttackError> {
        self.batching = self.batching.with_batch_size(batch_size)?;
        Ok(self)
    }

    /// Sets the number of concurrent model calls, as
    /// [`Samples::with_concurrent_calls`](crate::Samples::with_concurrent_calls).
    pub fn with_concurrent_calls(mut self, concurrent_calls: usize) -> Self {
        self.batching = self.batching.with_concurrent_calls(concurrent_calls);
        self
    }

    /// Sets the number of batches in flight, as
    /// [`Samples::with_batches_in_flight`](crate::Samples::with_batches_in_flight).
    pub fn with_batches_in_flight(mut self, batches_in_flight: usize) -> Self {
        self.batching = self.batching.with_batches_in_flight(batches_in_flight);
        self
    }

    /// The source of the images.
    pub fn source(&self) -> &'a dyn SampleSource {
        self.source
    }

    /// Reads and checks an image.
    ///
    /// # Errors
    /// [`AttackError::Source`], [`AttackError::ImageLength`], [`AttackError::NanPixel`], [`AttackError::OutsideBox`].
    pub fn load(&self, index: usize) -> Result<Arc<[f32]>, AttackError> {
        let sample = self.source.id(index);
        let image = self.source.load(index).map_err(|source| AttackError::Source { sample, source })?;
        let expected: usize = self.source.image_shape().iter().product();
        if image.len() != expected {
            return Err(AttackError::ImageLength { sample, expected, found: image.len() });
        }
        check_values(&image, |_| sample)?;
        Ok(image.into())
    }

    /// Reads and checks images in parallel.
    pub(crate) fn load_all(&self, indices: &[usize]) -> Result<Vec<Arc<[f32]>>, AttackError> {
        indices.par_iter().map(|&index| self.load(index)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.source.len()
    }

    pub(crate) fn batch_size(&self) -> usize {
        self.batching.batch_size
    }

    /// The number of model calls into which a batch on this device is split.
    pub(crate) fn concurrent_calls(&self, device: &Device) -> usize {
        self.batching.concurrent_calls(device)
    }

    /// The number of batches in flight on this device.
    pub(crate) fn batches_in_flight(&self, device: &Device) -> usize {
        self.batching.batches_in_flight(device)
    }

    /// The same samples for a model on another device.
    pub(crate) fn to_device(&self, device: &Device) -> Self {
        Self { device: device.clone(), ..self.clone() }
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Uploads rows of pixels to a device.
    pub(crate) fn upload_to(&self, pixels: Vec<f32>, device: &Device) -> Tensor<4> {
        let [channels, height, width] = self.source.image_shape();
        let rows = pixels.len() / (channels * height * width);
        Tensor::from_data(TensorData::new(pixels, [rows, channels, height, width]), device)
    }

    /// Reads images and uploads them to a device.
    pub(crate) fn upload(&self, indices: &[usize], device: &Device) -> Result<Tensor<4>, AttackError> {
        Ok(self.upload_to(self.load_all(indices)?.concat(), device))
    }
}

/// Checks that values are numbers in [0, 1]. `sample` returns the number of the image that has the value at an index.
pub(crate) fn check_values(values: &[f32], sample: impl Fn(usize) -> u64) -> Result<(), AttackError> {
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    for (place, &value) in values.iter().enumerate() {
        if value.is_nan() {
            return Err(AttackError::NanPixel { sample: sample(place) });
        }
        (min, max) = (min.min(value), max.max(value));
    }
    if min < 0.0 || max > 1.0 { Err(AttackError::OutsideBox { min, max }) } else { Ok(()) }
}
