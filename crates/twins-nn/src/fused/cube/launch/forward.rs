//! Launches of the forward pass. The backward pass uses the fixed wing's lines as well.

use std::array;

use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{Fixed, Launch, Lines, UNITS, argument, element, lines_shape};
use crate::fused::cube::kernels::{forward, statistics};
use crate::fused::cube::rows::Rows;

impl Launch<'_> {
    pub(in crate::fused::cube) fn fixed_lines(&self, wing: &Fixed) -> CubeTensor {
        let lines = self.empty(lines_shape(self.like.channels()), DType::F32);
        let [gamma, beta, mean, variance] =
            [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(argument);
        statistics::fixed_lines::launch(
            self.client(),
            CubeCount::Static(self.channels().div_ceil(UNITS), 1, 1),
            CubeDim::new_1d(UNITS),
            self.vector,
            gamma,
            beta,
            mean,
            variance,
            argument(&lines),
            self.channels(),
            self.epsilon as f32,
            element(self.parameters),
        );
        lines
    }

    /// Computes the batch wing's lines, its mean and its biased variance.
    pub(in crate::fused::cube) fn batch_lines(
        &self,
        input: &Rows,
        gamma: &CubeTensor,
        beta: &CubeTensor,
    ) -> (CubeTensor, [CubeTensor; 2]) {
        let [first, rows] = self.rows();
        let count = self.like.count() - self.first;
        let chunk = self.chunk(count);
        let parts = count.div_ceil(chunk);
        let partial = self.empty([2, parts, self.like.channels()], DType::F32);
        statistics::moments::launch(
            self.client(),
            self.count(parts),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(&partial),
            self.step(input),
            self.channels(),
            first,
            rows,
            chunk as u32,
            self.units(),
            self.dtype(),
        );
        let statistics: [CubeTensor; 2] = array::from_fn(|_| self.per_channel());
        let lines = self.empty(lines_shape(self.like.channels()), DType::F32);
        let [mean, variance] = statistics.each_ref().map(argument);
        statistics::batch_lines::launch(
            self.client(),
            self.count(1),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(&partial),
            argument(gamma),
            argument(beta),
            mean,
            variance,
            argument(&lines),
            self.step(input),
            self.channels(),
            first,
            rows,
            chunk as u32,
            parts as u32,
            self.epsilon as f32,
            self.units(),
            self.dtypes(),
        );
        (lines, statistics)
    }

    pub(in crate::fused::cube) fn forward(
        &self,
        input: &Rows,
        residual: Option<&Rows>,
        lines: &Lines,
    ) -> Rows {
        let output = self.like.empty_like();
        let added = residual.unwrap_or(input);
        let [fixed, batch] = lines.bound();
        let [first, rows] = self.rows();
        forward::forward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(added.tensor()),
            fixed,
            batch,
            argument(output.tensor()),
            self.step(input),
            self.step(added),
            self.step(&output),
            self.channels(),
            first,
            rows,
            residual.is_some(),
            self.has_relu(),
            self.dtype(),
        );
        output
    }

    /// Computes [`forward`](Self::forward) through the fixed wing alone.
    pub(in crate::fused::cube) fn fixed_forward(
        &self,
        input: &Rows,
        residual: Option<&Rows>,
        wing: &Fixed,
    ) -> Rows {
        let output = self.like.empty_like();
        let added = residual.unwrap_or(input);
        let [gamma, beta, mean, variance] =
            [&wing.gamma, &wing.beta, &wing.mean, &wing.variance].map(argument);
        let [_, rows] = self.rows();
        forward::fixed_forward::launch(
            self.client(),
            self.writing(),
            self.dim(),
            self.vector,
            argument(input.tensor()),
            argument(added.tensor()),
            gamma,
            beta,
            mean,
            variance,
            argument(output.tensor()),
            self.step(input),
            self.step(added),
            self.step(&output),
            self.channels(),
            rows,
            self.epsilon as f32,
            residual.is_some(),
            self.has_relu(),
            self.dtypes(),
        );
        output
    }
}
