//! A cache of packed weights. An attack makes many calls with the same weights, so the packed form of weights that are not trained is
//! kept as long as they exist.

use std::sync::{Arc, Mutex, Weak};

use burn::backend::Flex;
use burn::tensor::Bytes;

use crate::format::values;
use crate::kernels::{Convolution, Geometry};
use crate::op::Weights;

/// The computation that the weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Forward,
    InputGradient,
    Dense,
    DenseInputGradient,
}

struct Kept {
    /// The memory of the weights. Nobody can write to it while a weak pointer to it exists: flex writes in place only if `Arc::get_mut`
    /// succeeds, and copies the values to other memory otherwise.
    weights: Weak<Bytes>,
    pass: Pass,
    geometry: Geometry,
    packed: Arc<Convolution>,
}

static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// Maximum number of bytes of packed weights that are kept.
const MOST: usize = 256 * 1024 * 1024;

/// Returns the packed form of contiguous weights for one pass: `[outputs, channels, height, width]`, or
/// `[channels · height · width, outputs]` for dense layers.
pub(crate) fn packed(
    Weights { values: weight, are_constant }: &Weights<Flex>,
    pass: Pass,
    geometry: &Geometry,
) -> Arc<Convolution> {
    let memory = weight.data_arc();
    // The memory does not identify weights that are a part of a larger tensor.
    let whole = memory.len() == size_of_val(values(weight));
    let is_same = |kept: &Kept| {
        std::ptr::eq(kept.weights.as_ptr(), Arc::as_ptr(&memory))
            && kept.pass == pass
            && kept.geometry == *geometry
    };
    if whole
        && let Ok(kept) = KEPT.lock()
        && let Some(kept) = kept.iter().find(|kept| is_same(kept))
    {
        return kept.packed.clone();
    }
    let packed = Arc::new(match pass {
        Pass::Forward => Convolution::forward(geometry, values(weight)),
        Pass::InputGradient => Convolution::input_gradient(geometry, values(weight)),
        Pass::Dense => Convolution::dense(geometry, values(weight)),
        Pass::DenseInputGradient => Convolution::dense_input_gradient(geometry, values(weight)),
    });
    if let Ok(mut kept) = KEPT.lock() {
        kept.retain(|kept| kept.weights.strong_count() > 0);
        let bytes: usize = kept.iter().map(|kept| kept.packed.bytes()).sum();
        if whole && *are_constant && bytes + packed.bytes() <= MOST && !kept.iter().any(is_same) {
            let weights = Arc::downgrade(&memory);
            kept.push(Kept { weights, pass, geometry: *geometry, packed: packed.clone() });
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use burn::backend::flex::FlexTensor;
    use burn::tensor::TensorData;

    use super::*;
    use crate::format::Format;
    use crate::kernels::Addend;

    const GEOMETRY: Geometry = Geometry {
        channels: 1,
        outputs: 1,
        input: [2, 2],
        kernel: [1, 1],
        stride: [1, 1],
        before: [0, 0],
        after: [0, 0],
    };

    fn of(values: &FlexTensor) -> Weights<Flex> {
        Weights { values: values.clone(), are_constant: true }
    }

    fn output(weight: &FlexTensor) -> f32 {
        let mut outputs = [0.0; 4];
        let convolution = packed(&of(weight), Pass::Forward, &GEOMETRY);
        convolution.run(&[1.0; 4], Format::ChannelsFirst, Addend::Nothing, &mut outputs);
        outputs[0]
    }

    fn weight(value: f32) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(vec![value], [1, 1, 1, 1]))
    }

    #[test]
    fn weights_are_packed_once() {
        let weight = weight(2.0);
        let [first, second] = [(); 2].map(|()| packed(&of(&weight), Pass::Forward, &GEOMETRY));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &packed(&of(&weight), Pass::InputGradient, &GEOMETRY)));
        let wider = Geometry { input: [2, 3], ..GEOMETRY };
        assert!(!Arc::ptr_eq(&first, &packed(&of(&weight), Pass::Forward, &wider)));
    }

    #[test]
    fn weights_that_are_trained_are_not_kept() {
        let weight = weight(2.0);
        let trained = Weights { are_constant: false, ..of(&weight) };
        let [first, second] = [(); 2].map(|()| packed(&trained, Pass::Forward, &GEOMETRY));
        assert!(!Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn weights_that_change_are_packed_anew() {
        let mut changed = weight(2.0);
        assert_eq!(output(&changed), 2.0);
        assert!(changed.try_storage_mut::<f32>().is_none(), "nobody writes to what is kept");
        changed.storage_mut::<f32>()[0] = 3.0;
        assert_eq!(output(&changed), 3.0);
        // Memory that is used again by other weights.
        for value in 0..100 {
            assert_eq!(output(&weight(value as f32)), value as f32);
        }
    }
}
