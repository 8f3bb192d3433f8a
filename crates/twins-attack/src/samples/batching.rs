use burn::tensor::Device;

use crate::error::AttackError;
use crate::error::setting::SettingError;
use crate::model::caller_device::computes_in_caller;

/// How samples are divided into calls of the model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batching {
    pub(super) batch_size: usize,
    /// `None`: as the device needs it.
    concurrent_calls: Option<usize>,
}

impl Batching {
    pub(super) const DEFAULT: Self = Self { batch_size: 100, concurrent_calls: None };

    /// # Errors
    /// [`SettingError::BatchSize`] if the batch size is 0.
    pub(super) fn with_batch_size(self, batch_size: usize) -> Result<Self, AttackError> {
        if batch_size == 0 { Err(SettingError::BatchSize.into()) } else { Ok(Self { batch_size, ..self }) }
    }

    pub(super) fn with_concurrent_calls(self, concurrent_calls: usize) -> Self {
        Self { concurrent_calls: Some(concurrent_calls.max(1)), ..self }
    }

    /// Into how many calls of a model on this device a batch is split.
    ///
    /// Unless it was said, one for each thread of Rayon's pool on a device that computes in the caller's thread, and else
    /// one.
    pub(super) fn concurrent_calls(&self, device: &Device) -> usize {
        let by_device = || if computes_in_caller(device) { rayon::current_num_threads() } else { 1 };
        self.concurrent_calls.unwrap_or_else(by_device)
    }
}
