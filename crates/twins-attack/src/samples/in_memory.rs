use burn::tensor::{Device, Tensor, TensorData};

use crate::error::AttackError;
use crate::samples::batching::Batching;
use crate::samples::source::{SampleSource, SampleStream, SourceError, check_values};

/// Checked images with their labels, all in memory. For large data sets, a [`SampleSource`] reads images one by one.
///
/// Each sample has a number, its index in the data set, which keys its random draws. Set the numbers with
/// [`Samples::with_ids`] if the samples are a part of a data set or in a different order.
#[derive(Debug, Clone)]
pub struct Samples {
    pixels: Vec<f32>,
    shape: [usize; 4],
    labels: Vec<usize>,
    ids: Vec<u64>,
    targets: Option<Vec<usize>>,
    starts: Option<Vec<f32>>,
    device: Device,
    batching: Batching,
}

impl Samples {
    /// The default batch size, which [`Samples::with_batch_size`] changes.
    pub const DEFAULT_BATCH_SIZE: usize = Batching::DEFAULT.batch_size;

    /// Creates samples from images and their labels. Attacks run on the images' device.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::Samples;
    /// // Images that were normalised are refused.
    /// let error = Samples::new(Tensor::full([1, 3, 2, 2], -1.8, &Device::flex()), vec![0]).unwrap_err();
    /// assert!(error.to_string().contains("normalisation into the model"));
    /// ```
    ///
    /// # Shapes
    /// * images: `[samples, channels, height, width]`, values in [0, 1]
    ///
    /// # Errors
    /// An empty batch, a number of labels that differs from the number of images, or values outside [0, 1] or not a
    /// number.
    pub fn new(images: Tensor<4>, labels: Vec<usize>) -> Result<Self, AttackError> {
        let images = images.inner();
        let (shape, device) = (images.dims(), images.device());
        let n = shape[0];
        if shape.contains(&0) {
            return Err(AttackError::EmptyBatch);
        }
        same_count(n, "labels", labels.len())?;
        let pixels = images.try_into_vec_as::<f32>()?;
        let row = pixels.len() / n;
        check_values(&pixels, |place| (place / row) as u64)?;
        let ids = (0..n as u64).collect();
        let (targets, starts, batching) = (None, None, Batching::DEFAULT);
        Ok(Self { pixels, shape, labels, ids, targets, starts, device, batching })
    }

    /// Sets the numbers of the samples. By default, they are numbered in their order.
    ///
    /// # Errors
    /// [`AttackError::Count`] unless there is one number per image.
    pub fn with_ids(mut self, ids: Vec<u64>) -> Result<Self, AttackError> {
        same_count(self.len(), "sample numbers", ids.len())?;
        self.ids = ids;
        Ok(self)
    }

    /// Sets the class that a targeted attack should reach on each sample.
    ///
    /// # Errors
    /// [`AttackError::Count`] unless there is one target per image; [`AttackError::TargetIsLabel`] if a target equals
    /// the label.
    pub fn with_targets(mut self, targets: Vec<usize>) -> Result<Self, AttackError> {
        same_count(self.len(), "targets", targets.len())?;
        if let Some(i) = (0..targets.len()).find(|&i| targets[i] == self.labels[i]) {
            return Err(AttackError::TargetIsLabel { sample: self.ids[i], label: targets[i] });
        }
        self.targets = Some(targets);
        Ok(self)
    }

    /// Sets the points from which the gradient attacks start, instead of random or clean points. An attack first
    /// projects them into its threat model. Restarts begin at random points nevertheless.
    ///
    /// # Errors
    /// [`AttackError::Shape`] unless they have the shape of the images; [`AttackError::Start`] if a value is not
    /// finite.
    pub fn with_starts(mut self, starts: Tensor<4>) -> Result<Self, AttackError> {
        if starts.dims() != self.shape {
            return Err(AttackError::Shape { images: self.shape, other: starts.dims() });
        }
        let starts = starts.inner().try_into_vec_as::<f32>()?;
        let row = starts.len() / self.len();
        if let Some(place) = starts.iter().position(|value| !value.is_finite()) {
            return Err(AttackError::Start { sample: self.ids[place / row], value: starts[place] });
        }
        self.starts = Some(starts);
        Ok(self)
    }

    /// Sets the number of samples in a batch, for [`Attack::run`](crate::Attack::run) and for each replica of an
    /// evaluation. By default, a CPU has one batch under attack at a time and a GPU has two
    /// ([`with_batches_in_flight`](Self::with_batches_in_flight)). The batch size affects speed and memory but not the
    /// results.
    ///
    /// # Errors
    /// [`SettingError::BatchSize`](crate::SettingError::BatchSize) if the batch size is 0.
    pub fn with_batch_size(mut self, batch_size: usize) -> Result<Self, AttackError> {
        self.batching = self.batching.with_batch_size(batch_size)?;
        Ok(self)
    }

    /// Sets the number of concurrent model calls into which a batch is split; at least 1.
    ///
    /// The default is one call per thread of Rayon's pool on Burn's CPU backends, where several calls on one core each
    /// are faster than one call on all cores. It is one call on every other device. A model that draws random numbers
    /// does so in a fixed order only if this number is 1. It is always 1 for attacks that average over
    /// [repeated passes](crate::Attack::eot).
    pub fn with_concurrent_calls(mut self, concurrent_calls: usize) -> Self {
        self.batching = self.batching.with_concurrent_calls(concurrent_calls);
        self
    }

    /// Sets the number of batches in flight on each device; at least 1. Results do not depend on it.
    ///
    /// The default is one on Burn's CPU backends and two on every other device, which computes one batch while the host
    /// is busy with the other. Each batch in flight has a thread, a part of the cores and up to
    /// [`batch_size`](Self::with_batch_size) samples. Two batches take twice the memory on the device; set 1 to save
    /// it.
    ///
    /// Attacks that average over [repeated passes](crate::Attack::eot) always have one batch in flight, because a
    /// randomised model draws its random numbers in the order of the passes. For them, this number is the number of
    /// forward passes over the batch that are queued before the attack waits for their logits.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel};
    /// let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
    /// let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
    /// let samples = Samples::new(images, vec![0, 0])?.with_batches_in_flight(2);
    /// let pgd = PgdConfig::new(ThreatModel::new(Norm::Linf, 0.1)?, 5, 0.05).build()?;
    /// assert_eq!(pgd.run(&victim, &samples)?.fooled, [true, false]);
    /// # Ok::<(), twins_attack::AttackError>(())
    /// ```
    pub fn with_batches_in_flight(mut self, batches_in_flight: usize) -> Self {
        self.batching = self.batching.with_batches_in_flight(batches_in_flight);
        self
    }

    /// The number of samples; at least one.
    #[allow(clippy::len_without_is_empty, reason = "there are no empty samples")]
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// Channels, height and width of an image.
    pub fn image_shape(&self) -> [usize; 3] {
        [self.shape[1], self.shape[2], self.shape[3]]
    }

    /// The correct class of each sample.
    pub fn labels(&self) -> &[usize] {
        &self.labels
    }

    /// The number of each sample.
    pub fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// The number of samples in a batch.
    pub fn batch_size(&self) -> usize {
        self.batching.batch_size
    }

    /// The number of model calls into which a batch on the samples' device is split.
    pub fn concurrent_calls(&self) -> usize {
        self.batching.concurrent_calls(&self.device)
    }

    /// How the samples are divided into model calls.
    pub(super) fn batching(&self) -> Batching {
        self.batching
    }

    /// The device on which the model runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The values of one image, channels first.
    pub fn image(&self, index: usize) -> &[f32] {
        &self.pixels[self.row(index)]
    }

    /// The samples as a stream, in the form that an evaluation processes.
    pub(crate) fn stream(&self) -> SampleStream<'_> {
        SampleStream::of_samples(self)
    }

    pub(crate) fn pixels(&self) -> &[f32] {
        &self.pixels
    }

    /// Uploads the pixels of all samples to the device.
    pub(crate) fn upload(&self, pixels: Vec<f32>) -> Tensor<4> {
        Tensor::from_data(TensorData::new(pixels, self.shape), &self.device)
    }

    fn row(&self, index: usize) -> std::ops::Range<usize> {
        let length = self.pixels.len() / self.len();
        index * length..(index + 1) * length
    }
}

impl SampleSource for Samples {
    fn len(&self) -> usize {
        self.len()
    }

    fn image_shape(&self) -> [usize; 3] {
        self.image_shape()
    }

    fn label(&self, index: usize) -> usize {
        self.labels[index]
    }

    fn id(&self, index: usize) -> u64 {
        self.ids[index]
    }

    fn target(&self, index: usize) -> Option<usize> {
        self.targets.as_ref().map(|targets| targets[index])
    }

    fn start(&self, index: usize) -> Option<&[f32]> {
        self.starts.as_ref().map(|starts| &starts[self.row(index)])
    }

    fn load(&self, index: usize) -> Result<Vec<f32>, SourceError> {
        Ok(self.image(index).to_vec())
    }
}

fn same_count(images: usize, what: &'static str, count: usize) -> Result<(), AttackError> {
    if images == count { Ok(()) } else { Err(AttackError::Count { images, what, count }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::setting::SettingError;

    fn images(values: [f32; 2]) -> Tensor<4> {
        Tensor::from_floats([[[[values[0]]]], [[[values[1]]]]], &Device::flex())
    }

    #[test]
    fn bad_input_is_named() {
        let message = |images, labels| Samples::new(images, labels).unwrap_err().to_string();
        let outside = message(images([-0.5, 2.25]), vec![0, 1]);
        assert!(outside.contains("[-0.5, 2.25]") && outside.contains("normalised"), "{outside}");
        assert!(message(images([0.0, f32::NAN]), vec![0, 1]).contains("image 1"));
        assert!(message(images([0.0, 0.0]), vec![0]).contains("2 images come with 1 labels"));
        assert!(message(Tensor::zeros([0, 1, 1, 1], &Device::flex()), vec![]).contains("empty"));
        let samples = Samples::new(images([0.0, 1.0]), vec![0, 1]).unwrap();
        assert!(matches!(samples.clone().with_ids(vec![1]), Err(AttackError::Count { .. })));
        assert!(matches!(
            samples.clone().with_batch_size(0),
            Err(AttackError::Setting(SettingError::BatchSize))
        ));
        assert!(matches!(
            samples.with_targets(vec![1, 1]),
            Err(AttackError::TargetIsLabel { sample: 1, label: 1 })
        ));
    }
}
