//! Images with zeros around, as the kernels read them.

use super::simd::CHANNELS;
use crate::format::Format;

/// A pixel's values of [`CHANNELS`] channels.
pub(crate) type Pixel = [f32; CHANNELS];

/// The geometry of an image in blocks of [`CHANNELS`] channels, `[block][row][column]`, with zeros around.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Rows and columns of zeros before the image.
    pub(crate) before: [usize; 2],
    /// Rows and columns with the zeros.
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

impl Planes {
    pub(crate) fn blocks(&self) -> usize {
        self.channels.div_ceil(CHANNELS)
    }

    /// Pixels of all blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks() * self.rows * self.columns
    }

    /// Values of an image.
    pub(crate) fn values(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Copies an image; where zeros belong there must be zeros already.
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
