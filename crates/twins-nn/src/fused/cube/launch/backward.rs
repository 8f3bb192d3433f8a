//! Launches of the backward pass.

use std::array;

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;

use super::{Fixed, Launch, Lines, argument, element};
use crate::fused::cube::kernels::backward;
use crate::fused::cube::rows::Rows;

/// Gradients of gamma and beta of both wings, and the correction that batch statistics subtract from the input's
/// gradient.
pub(in crate::fused::cube) struct Sums {
    pub(in crate::fused::cube) fixed: Option<[CubeTensor; 2]>,
    pub(in crate::fused::cube) batch: Option<[CubeTensor; 2]>,
    pub(in crate::fused::cube) pulls: Option<CubeTensor>,
}

impl Launch<'_> {
    /// Computes ReLU's gradient from the sign of its output.
    pub(in crate::fused::cube) fn relu_gradient(&self, gradient: &Rows, output: &Rows) -> Rows {
        let written = self.like.empty_like();
        let [_, rows] = self.rows();
        backward::relu_gradient::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(gradient.tensor()),
            argument(output.tensor()),
            argument(written.tensor()),
            self.step(gradient),
            self.step(output),
            self.step(&written),
            self.channels(),
            rows,
            self.dtype(),
        );
        written
    }

    /// Computes the sums over the rows of the wings that have lines.
    pub(in crate::fused::cube) fn sums(&self, input: &Rows, gradient: &Rows, lines: &Lines) -> Sums {
        let [first, rows] = self.rows();
        let counts = [
            if lines.fixed.is_some() { self.first } else { 0 },
            if lines.batch.is_some() { self.like.count() - self.first } else { 0 },
        ];
        let chunk = self.chunk(counts[0] + counts[1]);
        let [fixed_parts, batch_parts] = counts.map(|count| count.div_ceil(chunk));
        let parts = fixed_parts + batch_parts;
        let partial = self.empty([2, parts, self.like.channels()], DType::F32);
        let [fixed, batch] = lines.bound();
        backward::gradient_sums::launch(
            self.client(),
            self.count(parts),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(gradient.tensor()),
            fixed,
            batch,
            argument(&partial),
            self.step(input),
            self.step(gradient),
            self.channels(),
            first,
            rows,
            chunk as u32,
            fixed_parts as u32,
            self.has_relu(),
            self.units(),
            self.dtype(),
        );
        let merged = |lines: &CubeTensor, [from, to]: [usize; 2], count: usize| {
            let affine: [CubeTensor; 2] = array::from_fn(|_| self.per_channel());
            let pulls = self.empty([2, self.like.channels()], DType::F32);
            let [gamma, beta] = affine.each_ref().map(argument);
            backward::affine_gradients::launch(
                self.client(),
                self.count(1),
                self.dim(),
                self.vector,
                argument(&partial),
                argument(lines),
                gamma,
                beta,
                argument(&pulls),
                self.channels(),
                parts as u32,
                from as u32,
                to as u32,
                count as f32,
                self.units(),
                element(self.parameters),
            );
            (affine, pulls)
        };
        let fixed = lines.fixed.as_ref().map(|lines| merged(lines, [0, fixed_parts], counts[0]).0);
        let batch = lines.batch.as_ref().map(|lines| merged(lines, [fixed_parts, parts], counts[1]));
        let (batch, pulls) = batch.unzip();
        Sums { fixed, batch, pulls }
    }

    pub(in crate::fused::cube) fn backward(
        &self,
        input: &Rows,
        gradient: &Rows,
        lines: &Lines,
        pulls: Option<&CubeTensor>,
    ) -> Rows {
        let written = self.like.empty_like();
        let [fixed, batch] = lines.bound();
        // A placeholder that is not read without a batch wing.
        let [_, any] = lines.bound();
        let [first, rows] = self.rows();
        backward::backward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(gradient.tensor()),
            fixed,
            batch,
            pulls.map_or(any, argument),
            argument(written.tensor()),
            self.step(input),
            self.step(gradient),
            self.step(&written),
            self.channels(),
            first,
            rows,
            self.has_relu(),
            self.dtype(),
        );
        written
    }

    /// Computes [`backward`](Self::backward) through the fixed wing alone. If `output` is given, ReLU's gradient
    /// is computed from it.
    pub(in crate::fused::cube) fn fixed_backward(
        &self,
        gradient: &Rows,
        output: Option<&Rows>,
        wing: &Fixed,
    ) -> Rows {
        let written = self.like.empty_like();
        let read = output.unwrap_or(gradient);
        let [_, rows] = self.rows();
        backward::fixed_backward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(gradient.tensor()),
            argument(read.tensor()),
            argument(&wing.gamma),
            argument(&wing.variance),
            argument(written.tensor()),
            self.step(gradient),
            self.step(read),
            self.step(&written),
            self.channels(),
            rows,
            self.epsilon as f32,
            output.is_some(),
            self.dtypes(),
        );
        written
    }
}
