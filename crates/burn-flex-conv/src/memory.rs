//! Memory that is used again.
//!
//! The steps of an attack or of a training need tensors of the same sizes over and over. Filling fresh memory with zeros takes up to a tenth
//! of a step, on one core.

use std::sync::{Arc, Mutex};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use crate::format::tensor;

/// A contiguous tensor of single precision for results: its values are whatever stood in its memory before.
///
/// Where no memory of that size was given back, as much as is asked for is returned to the system first: what is kept here does not add to
/// the peak.
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
        _ => Found::Nothing(Vec::new()),
    };
    match found {
        Found::Memory(memory) => FlexTensor::from_arc(memory, Layout::contiguous(shape), DType::F32),
        Found::Nothing(others) => {
            drop(others);
            tensor(vec![0.0; shape.num_elements()], shape)
        }
    }
}

/// Gives the memory of a tensor back, unless other tensors share it.
pub fn give_back(mut tensor: FlexTensor) {
    let is_worth_it = tensor.dtype() == DType::F32
        && tensor.try_storage_mut::<f32>().is_some_and(|values| size_of_val(values) >= LEAST);
    if !is_worth_it {
        return;
    }
    // Whatever reads it before it is written fails the tests.
    #[cfg(test)]
    tensor.storage_mut::<f32>().fill(f32::NAN);
    let memory = tensor.data_arc();
    drop(tensor);
    if let Ok(mut free) = FREE.lock() {
        free.give_back(memory);
    }
}

static FREE: Mutex<Free> = Mutex::new(Free(Vec::new()));

/// Bytes that are kept at most.
const MOST: usize = 256 * 1024 * 1024;

/// Bytes below which the allocator is as good.
const LEAST: usize = if cfg!(test) { 0 } else { 32 * 1024 };

/// Memory that nobody uses, the oldest first.
struct Free(Vec<Arc<Bytes>>);

enum Found {
    Memory(Arc<Bytes>),
    /// With memory of other sizes that is to be dropped.
    Nothing(Vec<Arc<Bytes>>),
}

impl Free {
    fn take(&mut self, bytes: usize) -> Found {
        // The latest is the likeliest to be in a cache.
        if let Some(place) = self.0.iter().rposition(|memory| memory.len() == bytes) {
            return Found::Memory(self.0.remove(place));
        }
        let mut returned = 0;
        let others = self.0.iter().take_while(|memory| {
            let is_short = returned < bytes;
            returned += memory.len();
            is_short
        });
        let count = others.count();
        Found::Nothing(self.0.drain(..count).collect())
    }

    fn give_back(&mut self, memory: Arc<Bytes>) {
        if self.0.iter().map(|memory| memory.len()).sum::<usize>() + memory.len() <= MOST {
            self.0.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: usize) -> Arc<Bytes> {
        Arc::new(Bytes::from_elems(vec![0u8; bytes]))
    }

    #[test]
    fn the_latest_of_a_size_is_used_again() {
        let [old, new, other] = [8, 8, 16].map(memory);
        let mut free = Free(vec![old, new.clone(), other]);
        assert!(matches!(free.take(8), Found::Memory(found) if Arc::ptr_eq(&found, &new)));
        assert_eq!(free.0.len(), 2);
    }

    #[test]
    fn what_is_kept_makes_room_for_what_is_not_found() {
        let mut free = Free(vec![memory(8), memory(16), memory(24)]);
        assert!(matches!(free.take(20), Found::Nothing(others) if others.len() == 2));
        assert_eq!(free.0.len(), 1);
        free.give_back(memory(32));
        assert_eq!(free.0.len(), 2);
        free.give_back(Arc::new(Bytes::from_elems(vec![0u8; MOST])));
        assert_eq!(free.0.len(), 2);
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
