use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use twins_data::{Augmentation, Batch, DataError, ImageDataset, collate};

/// The number of batches that are prepared ahead of the one in use.
const READY: usize = 2;

/// Prepares batches in a background thread, in a fixed order.
pub(crate) struct Loader {
    batches: Receiver<Result<Batch, DataError>>,
    /// Taken when the thread is joined.
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

impl Loader {
    /// Starts to prepare `batches` immediately. Random draws of the augmentation depend only on (`seed`, sample).
    pub(crate) fn start(
        dataset: Arc<dyn ImageDataset>,
        batches: Vec<Vec<usize>>,
        augmentation: Option<Augmentation>,
        seed: u64,
        device: Device,
    ) -> Self {
        let (sender, receiver) = sync_channel(READY);
        let thread = thread::spawn(move || {
            for ids in batches {
                let augment = augmentation.as_ref().map(|augmentation| (augmentation, seed));
                let batch = collate(dataset.as_ref(), &ids, augment, &device);
                // The receiver has been dropped if training stopped early.
                if sender.send(batch).is_err() {
                    return;
                }
            }
        });
        Self { batches: receiver, thread: Some(thread), waited: Duration::ZERO }
    }

    /// Returns the next batch; `None` after the last. A panic of the thread is resumed here, so that its remaining
    /// batches are not silently missing.
    pub(crate) fn next(&mut self) -> Option<Result<Batch, DataError>> {
        let start = Instant::now();
        let batch = self.batches.recv().ok();
        self.waited += start.elapsed();
        if batch.is_none()
            && let Some(Err(payload)) = self.thread.take().map(JoinHandle::join)
        {
            resume_unwind(payload);
        }
        batch
    }

    /// How long [`next`](Loader::next) has blocked its caller in total.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }
}
