//! Enlarges images inside the model.

use burn::tensor::{Int, Tensor, TensorData};

/// Enlarges images by nearest-neighbour interpolation: output pixel i is input pixel ⌊i · in / out⌋, as in
/// `torch.nn.functional.interpolate(mode="nearest")`.
///
/// # Shapes
///
/// `[batch, channels, height, width]` to `[batch, channels, size[0], size[1]]`
pub(crate) fn upsample_nearest(images: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let [tall, wide] = size;
    if [height, width] == size {
        return images;
    }
    if tall % height == 0 && wide % width == 0 {
        // Pixels are repeated by a broadcast, whose gradient is a plain sum on every backend.
        let (down, across) = (tall / height, wide / width);
        return images
            .reshape([batch * channels, height, 1, width, 1])
            .expand([batch * channels, height, down, width, across])
            .reshape([batch, channels, tall, wide]);
    }
    let device = images.device();
    let nearest = |from: usize, to: usize| {
        let rows: Vec<i64> = (0..to).map(|i| (i * from / to) as i64).collect();
        Tensor::<1, Int>::from_data(TensorData::new(rows, [to]), &device)
    };
    let (rows, columns) = (nearest(height, tall), nearest(width, wide));
    images.select(2, rows).select(3, columns)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn image(device: &Device) -> Tensor<4> {
        Tensor::from_data([[[[1.0f32, 2.0], [3.0, 4.0]]]], device)
    }

    #[test]
    fn whole_factors_repeat_pixels() {
        let y = upsample_nearest(image(&Device::flex()), [4, 2]);
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
    }

    #[test]
    fn broken_factors_take_the_floor() {
        // ⌊i · 2 / 3⌋ = 0, 0, 1.
        let y = upsample_nearest(image(&Device::flex()), [3, 3]);
        let expected = [1.0, 1.0, 2.0, 1.0, 1.0, 2.0, 3.0, 3.0, 4.0];
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), expected);
    }

    #[test]
    fn gradients_add_up_over_the_copies() {
        for (size, expected) in [([4, 4], [4.0; 4]), ([3, 3], [4.0, 2.0, 2.0, 1.0])] {
            let x = image(&Device::flex().autodiff()).require_grad();
            let grads = upsample_nearest(x.clone(), size).sum().backward();
            assert_eq!(x.grad(&grads).unwrap().into_data().try_to_vec::<f32>().unwrap(), expected);
        }
    }
}
