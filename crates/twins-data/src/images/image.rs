/// An image as bytes, channels first.
///
/// # Shapes
/// - `pixels`: `channels * height * width` bytes, row by row within each channel; 255 means 1.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `[channels, height, width]`.
    pub shape: [usize; 3],
    /// The bytes, `[channels, height, width]` in row-major order.
    pub pixels: Vec<u8>,
}

impl Image {
    /// Creates an image from interleaved bytes, `[height, width, channels]`, as decoders return them.
    ///
    /// # Panics
    /// If there are not `channels * height * width` bytes.
    pub fn from_interleaved(shape: [usize; 3], interleaved: &[u8]) -> Self {
        let [channels, height, width] = shape;
        let area = height * width;
        assert_eq!(interleaved.len(), channels * area, "bytes of an image of shape {shape:?}");
        let mut pixels = vec![0; interleaved.len()];
        for (channel, plane) in pixels.chunks_exact_mut(area.max(1)).enumerate() {
            for (pixel, bytes) in plane.iter_mut().zip(interleaved.chunks_exact(channels)) {
                *pixel = bytes[channel];
            }
        }
        Self { shape, pixels }
    }

    /// Whether the number of bytes matches the shape.
    pub(crate) fn is_consistent(&self) -> bool {
        self.pixels.len() == self.shape.iter().product::<usize>()
    }
}

/// An image and the index of its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImage {
    /// The image.
    pub image: Image,
    /// The index of its class among [`ImageDataset::classes`](crate::ImageDataset::classes).
    pub label: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaved_bytes_become_planes() {
        // Two pixels side by side: (1, 2, 3) and (4, 5, 6).
        let image = Image::from_interleaved([3, 1, 2], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(image.pixels, [1, 4, 2, 5, 3, 6]);
        assert!(image.is_consistent());
    }
}
