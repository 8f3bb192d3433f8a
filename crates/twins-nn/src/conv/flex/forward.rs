//! The forward pass: images laid out so that a convolution becomes a [`Correlation`].

use burn::tensor::ops::ConvOptions;

use super::axis::Axis;
use super::batch::Batch;
use super::correlation::Correlation;

/// A convolution, forwards.
pub(super) struct Forward {
    channels: usize,
    axes: [Axis; 2],
    /// For each remainder of a column by the stride, the first that has it, where it stands in its plane, and their number.
    columns: Vec<((usize, usize), usize)>,
    size: [usize; 2],
    outputs: usize,
    correlation: Correlation,
}

impl Forward {
    pub(super) fn new(
        [channels, height, width]: [usize; 3],
        weight: &[f32],
        [outputs, _, kernel_height, kernel_width]: [usize; 4],
        options: &ConvOptions<2>,
    ) -> Self {
        let [down, across] = options.stride;
        let axes =
            [Axis::new(height, down, options.padding[0]), Axis::new(width, across, options.padding[1])];
        let kernel = [kernel_height, kernel_width];
        let size = [0, 1].map(|axis| {
            let (before, after) = options.padding[axis];
            (axes[axis].size + before + after - kernel[axis]) / options.stride[axis] + 1
        });
        let mut offsets = Vec::with_capacity(channels * kernel_height * kernel_width);
        for channel in 0..channels {
            for y in 0..kernel_height {
                for x in 0..kernel_width {
                    let plane = (channel * down + y % down) * across + x % across;
                    offsets.push((plane * axes[0].planes + y / down) * axes[1].planes + x / across);
                }
            }
        }
        let taps = offsets.len();
        let correlation = Correlation::new(offsets, outputs, [size[0], size[1], axes[1].planes], |o, tap| {
            weight[o * taps + tap]
        });
        let columns = (0..across).map(|x| (axes[1].first(x), axes[1].count(x))).collect();
        Self { channels, axes, columns, size, outputs, correlation }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Rows and columns of the output.
    pub(super) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// The output for a batch of images, `[n, outputs, rows, columns]`.
    pub(super) fn run(&self, images: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let [rows, columns] = self.size;
        let group = self.correlation.group();
        let sum = |planes: &[f32], sums: &mut Vec<f32>, number: usize, output: &mut [f32]| {
            self.correlation.run(number, planes, sums, |o, y, sums| {
                let bias = bias.map_or(0.0, |bias| bias[number * group + o]);
                let row = &mut output[(o * rows + y) * columns..][..columns];
                row.iter_mut().zip(sums).for_each(|(out, sum)| *out = sum + bias);
            });
        };
        let batch = Batch {
            samples: images.len() / (self.channels * self.axes[0].size * self.axes[1].size),
            laid_out: self.planes_len(),
            group: group * rows * columns,
            output: self.outputs * rows * columns,
        };
        batch.run(images, |image, planes| self.divide(image, planes), sum)
    }

    fn planes_len(&self) -> usize {
        let [down, across] = &self.axes;
        self.channels * down.stride * down.planes * across.stride * across.planes + Correlation::OVERRUN
    }

    /// Divides an image into its planes. What is padding stays as it is, zero.
    fn divide(&self, image: &[f32], planes: &mut [f32]) {
        let [down, across] = &self.axes;
        let plane = down.planes * across.planes;
        for channel in 0..self.channels {
            for y_remainder in 0..down.stride {
                let (first_y, to_y) = down.first(y_remainder);
                for line in 0..down.count(y_remainder) {
                    let y = first_y + line * down.stride;
                    let row = &image[(channel * down.size + y) * across.size..][..across.size];
                    for (x_remainder, &((first_x, to_x), count)) in self.columns.iter().enumerate() {
                        let number = (channel * down.stride + y_remainder) * across.stride + x_remainder;
                        let to =
                            &mut planes[number * plane + (to_y + line) * across.planes + to_x..][..count];
                        match across.stride {
                            1 => to.copy_from_slice(row),
                            2 if count > 0 => pick::<2>(to, &row[first_x..]),
                            stride => (to.iter_mut().zip(row.iter().skip(first_x).step_by(stride)))
                                .for_each(|(to, from)| *to = *from),
                        }
                    }
                }
            }
        }
    }
}

/// Every `STRIDE`-th value: of a stride that is known beforehand, without a division for each row.
fn pick<const STRIDE: usize>(to: &mut [f32], from: &[f32]) {
    let (whole, rest) = from.as_chunks::<STRIDE>();
    to.iter_mut().zip(whole).for_each(|(to, from)| *to = from[0]);
    if let (Some(to), Some(from)) = (to.get_mut(whole.len()), rest.first()) {
        *to = *from;
    }
}
