//! The input's gradient: as many [correlations](Correlation) of the output's gradient as the stride has remainders.

use burn::tensor::ops::ConvOptions;

use super::axis::Axis;
use super::batch::Batch;
use super::correlation::Correlation;

/// The gradient of a convolution's input. The input positions with one remainder by the stride are reached by the same
/// weights, each from the output that stands as many places before.
pub(super) struct Backward {
    outputs: usize,
    channels: usize,
    axes: [Axis; 2],
    /// Rows and columns of the output.
    size: [usize; 2],
    /// Rows and columns of its gradient with zeros around, and how many of the zeros are in front.
    padded: [usize; 2],
    before: [usize; 2],
    phases: Vec<Phase>,
}

/// The input positions with one pair of remainders.
struct Phase {
    remainders: [usize; 2],
    /// Where the first of them begins to read the padded gradient.
    start: usize,
    correlation: Correlation,
}

impl Backward {
    pub(super) fn new(
        [height, width]: [usize; 2],
        size: [usize; 2],
        weight: &[f32],
        [outputs, channels, kernel_height, kernel_width]: [usize; 4],
        options: &ConvOptions<2>,
    ) -> Self {
        let kernel = [kernel_height, kernel_width];
        let stride = options.stride;
        let axes = [
            Axis::new(height, stride[0], options.padding[0]),
            Axis::new(width, stride[1], options.padding[1]),
        ];
        let before = [0, 1].map(|axis| kernel[axis].div_ceil(stride[axis]) - 1);
        let padded = [0, 1].map(|axis: usize| {
            let last = |remainder| axes[axis].first(remainder).1 + axes[axis].count(remainder);
            let read = (0..stride[axis]).map(last).max().unwrap_or(0);
            before[axis] + read.max(size[axis])
        });
        let plane = padded[0] * padded[1];
        let mut phases = Vec::new();
        for remainders in (0..stride[0]).flat_map(|y| (0..stride[1]).map(move |x| [y, x])) {
            let taps = [0, 1]
                .map(|axis: usize| kernel[axis].saturating_sub(remainders[axis]).div_ceil(stride[axis]));
            let [rows, columns] = [0, 1].map(|axis: usize| axes[axis].count(remainders[axis]));
            if taps.contains(&0) || rows == 0 || columns == 0 {
                continue;
            }
            let mut offsets = Vec::with_capacity(outputs * taps[0] * taps[1]);
            let mut places = Vec::with_capacity(offsets.capacity());
            for output in 0..outputs {
                for [y, x] in (0..taps[0]).flat_map(|y| (0..taps[1]).map(move |x| [y, x])) {
                    offsets.push(output * plane + (before[0] - y) * padded[1] + before[1] - x);
                    let [y, x] = [remainders[0] + y * stride[0], remainders[1] + x * stride[1]];
                    places.push((output * channels * kernel_height + y) * kernel_width + x);
                }
            }
            let [(_, y), (_, x)] = [0, 1].map(|axis: usize| axes[axis].first(remainders[axis]));
            let of_channel = kernel_height * kernel_width;
            let correlation =
                Correlation::new(offsets, channels, [rows, columns, padded[1]], |channel, tap| {
                    weight[places[tap] + channel * of_channel]
                });
            phases.push(Phase { remainders, start: y * padded[1] + x, correlation });
        }
        Self { outputs, channels, axes, size, padded, before, phases }
    }

    /// The gradient of a batch of images, `[n, channels, height, width]`.
    pub(super) fn run(&self, gradients: &[f32]) -> Vec<f32> {
        let [down, across] = &self.axes;
        let sum = |padded: &[f32], sums: &mut Vec<f32>, number: usize, images: &mut [f32]| {
            for phase in &self.phases {
                let [(first_y, _), (first_x, _)] =
                    [down.first(phase.remainders[0]), across.first(phase.remainders[1])];
                phase.correlation.run(number, &padded[phase.start..], sums, |channel, line, sums| {
                    let y = first_y + line * down.stride;
                    let row = &mut images[(channel * down.size + y) * across.size..][..across.size];
                    match across.stride {
                        1 => row.copy_from_slice(sums),
                        stride => (row.iter_mut().skip(first_x).step_by(stride).zip(sums))
                            .for_each(|(to, from)| *to = *from),
                    }
                });
            }
        };
        let plane = down.size * across.size;
        // Where no weight reaches an input, its gradient is zero, and there is nothing to sum.
        let group = self.phases.first().map_or(self.channels, |phase| phase.correlation.group());
        let batch = Batch {
            samples: gradients.len() / (self.outputs * self.size[0] * self.size[1]),
            laid_out: self.outputs * self.padded[0] * self.padded[1] + Correlation::OVERRUN,
            group: group * plane,
            output: self.channels * plane,
        };
        batch.run(gradients, |gradient, padded| self.pad(gradient, padded), sum)
    }

    /// Puts the zeros around a gradient; they are there already.
    fn pad(&self, gradient: &[f32], padded: &mut [f32]) {
        let [rows, columns] = self.size;
        for (number, row) in gradient.chunks_exact(columns).enumerate() {
            let line = number / rows * self.padded[0] + self.before[0] + number % rows;
            padded[line * self.padded[1] + self.before[1]..][..columns].copy_from_slice(row);
        }
    }
}
