//! Padded images in the layout that the kernels read.

use super::simd::CHANNELS;
use crate::format::Format;

/// The values of [`CHANNELS`] channels of a pixel.
pub(crate) type Pixel = [f32; CHANNELS];

/// The geometry of a padded image in blocks of [`CHANNELS`] channels, `[block][row][column]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Number of rows and columns of zeros before the image.
    pub(crate) before: [usize; 2],
    /// Number of rows and columns, including the zeros.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Planes {
    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(CHANNELS)
    }

    /// Number of pixels of all blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.rows * self.columns
    }

    /// Number of values of an image.
    pub(crate) fn values(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Copies an image. The padding must already be zero.
    pub(crate) fn fill(&self, image: &[f32], format: Format, planes: &mut [Pixel]) {
        let &Self { channels, height, width, before, rows, columns } = self;
        for block in 0..self.blocks() {
            let first = block * CHANNELS;
            let count = CHANNELS.min(channels - first);
            for y in 0..height {
                let to = &mut planes[(block * rows + before[0] + y) * columns + before[1]..][..width];
                match format {
                    Format::ChannelsLast => {
                        let row = &image[y * width * channels..][..width * channels];
                        for (to, from) in to.iter_mut().zip(row.chunks_exact(channels)) {
                            if count == CHANNELS {
                                to.copy_from_slice(&from[first..first + CHANNELS]);
                            } else {
                                to[..count].copy_from_slice(&from[first..first + count]);
                            }
                        }
                    }
                    Format::ChannelsFirst => {
                        for channel in 0..count {
                            let row = &image[((first + channel) * height + y) * width..][..width];
                            to.iter_mut().zip(row).for_each(|(to, from)| to[channel] = *from);
                        }
                    }
                }
            }
        }
    }
}
