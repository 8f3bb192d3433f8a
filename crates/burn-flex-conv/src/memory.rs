//! Memory that is reused.
//!
//! The steps of an attack or of training need tensors of the same sizes over and over. Filling fresh memory with zeros would take up to a
//! tenth of a step, on one core.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use crate::format::tensor;

/// Returns a contiguous single-precision tensor to be filled with results. Its initial values are those that its memory held before.
///
/// ```
/// use burn::tensor::Shape;
/// use burn_flex_conv::format::values_mut;
/// use burn_flex_conv::memory::{give_back, recycled};
///
/// let mut tensor = recycled(Shape::new([64, 32, 32, 16]));
/// values_mut(&mut tensor).fill(1.0);
/// give_back(tensor);
/// ```
pub fn recycled(shape: Shape) -> FlexTensor {
    let bytes = shape.num_elements() * size_of::<f32>();
    let found = match FREE.lock() {
        Ok(mut free) if bytes >= LEAST => free.take(bytes),
        _ => None,
    };
    let made = match found {
        Some(memory) => FlexTensor::from_arc(memory, Layout::contiguous(shape), DType::F32),
        None => tensor(vec![0.0; shape.num_elements()], shape),
    };
    // In tests, anything that reads the tensor before it is written gets NaN.
    #[cfg(test)]
    let made = {
        let mut made = made;
        made.storage_mut::<f32>().fill(f32::NAN);
        made
    };
    made
}

/// Returns the memory of a tensor for reuse, unless other tensors share it.
///
/// Memory of sizes that were never requested is not kept, and at most 256 MiB are kept in total. Later calls release memory to the system
/// that no request took during several thousand requests.
pub fn give_back(mut tensor: FlexTensor) {
    let is_worth_it = tensor.dtype() == DType::F32
        && tensor.try_storage_mut::<f32>().is_some_and(|values| size_of_val(values) >= LEAST);
    if !is_worth_it {
        return;
    }
    let memory = tensor.data_arc();
    drop(tensor);
    if let Ok(mut free) = FREE.lock() {
        free.give_back(memory);
    }
}

static FREE: Mutex<Free> = Mutex::new(Free { memory: VecDeque::new(), made: BTreeMap::new(), requests: 0 });

/// Maximum number of bytes that are kept.
const MOST: usize = 256 * 1024 * 1024;

/// Size in bytes below which the allocator is as fast.
const LEAST: usize = if cfg!(test) { 1 } else { 32 * 1024 };

/// Number of requests after which unused memory is released: the number of a few steps with a large network.
const LONG: usize = 4096;

struct Free {
    /// Unused memory, the oldest first, with the number of requests before it was returned.
    memory: VecDeque<(Arc<Bytes>, usize)>,
    /// For each size, the number of requests that found no memory, minus the number of releases. No more memory of a size is kept, because
    /// tensors that were allocated elsewhere would accumulate.
    made: BTreeMap<usize, usize>,
    requests: usize,
}

impl Free {
    fn take(&mut self, bytes: usize) -> Option<Arc<Bytes>> {
        self.requests += 1;
        // The latest memory is the most likely to be in a cache.
        match self.memory.iter().rposition(|(memory, _)| memory.len() == bytes) {
            Some(place) => self.memory.remove(place).map(|(memory, _)| memory),
            None => {
                *self.made.entry(bytes).or_default() += 1;
                None
            }
        }
    }

    fn give_back(&mut self, memory: Arc<Bytes>) {
        let kept = self.memory.iter().filter(|(kept, _)| kept.len() == memory.len()).count();
        if memory.len() <= MOST && kept < self.made.get(&memory.len()).copied().unwrap_or(0) {
            self.memory.push_back((memory, self.requests));
        }
        let mut bytes: usize = self.memory.iter().map(|(memory, _)| memory.len()).sum();
        while let Some((memory, since)) = self.memory.front()
            && (bytes > MOST || since + LONG < self.requests)
        {
            bytes -= memory.len();
            self.made.entry(memory.len()).and_modify(|made| *made -= 1);
            self.memory.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: usize) -> Arc<Bytes> {
        Arc::new(Bytes::from_elems(vec![0u8; bytes]))
    }

    /// Asks once for every size, and gives that back.
    fn after(sizes: &[usize]) -> Free {
        let mut free = Free { memory: VecDeque::new(), made: BTreeMap::new(), requests: 0 };
        sizes.iter().for_each(|&bytes| assert!(free.take(bytes).is_none()));
        sizes.iter().for_each(|&bytes| free.give_back(memory(bytes)));
        free
    }

    #[test]
    fn the_latest_of_a_size_is_used_again() {
        let mut free = after(&[8, 8, 16]);
        let latest = free.memory[1].0.clone();
        assert!(free.take(8).is_some_and(|found| Arc::ptr_eq(&found, &latest)));
        assert_eq!(free.memory.len(), 2);
    }

    #[test]
    fn no_more_is_kept_than_was_asked_for() {
        let mut free = after(&[8, 16]);
        [8, 16, 24].into_iter().for_each(|bytes| free.give_back(memory(bytes)));
        assert_eq!(free.memory.len(), 2);
        let mut free = after(&[MOST / 2, MOST / 2, 8]);
        assert_eq!(free.memory.iter().map(|(memory, _)| memory.len()).collect::<Vec<_>>(), [MOST / 2, 8]);
        assert!(free.take(MOST / 2).is_some());
        let mut free = after(&[8, MOST + 4]);
        assert!(free.take(8).is_some());
    }

    #[test]
    fn what_is_not_used_for_long_is_returned() {
        let mut free = after(&[8, 16]);
        for _ in 0..=LONG {
            let memory = free.take(16).expect("just given back");
            free.give_back(memory);
        }
        assert_eq!(free.memory.len(), 1);
        assert!(free.take(8).is_none());
    }

    #[test]
    fn shared_memory_is_left_alone() {
        let mut first = tensor(vec![1.0; 4], Shape::new([4]));
        let second = first.clone();
        give_back(first);
        first = second;
        assert_eq!(first.storage::<f32>(), [1.0; 4]);
    }
}
