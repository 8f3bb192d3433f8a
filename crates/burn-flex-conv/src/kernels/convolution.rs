//! A convolution with given weights, or the gradient of its input, computed by the method that suits its sizes.

use std::borrow::Cow;

use rayon::prelude::*;

use super::addend::Addend;
use super::batch::Outputs;
use super::few_channels::{self, FewChannels};
use super::geometry::Geometry;
use super::matrix::Matrix;
use super::pointwise;
use super::scatter::{self, Scatter};
use super::winograd::{self, Large, Small, Tiles, Winograd};
use super::{dense, forward, input_gradient, weight_gradient as direct};
use crate::format::Format;

/// The method of a convolution.
enum Method {
    Direct,
    Pointwise,
    Winograd(Tiles),
}

/// Returns the method for the outputs and for the gradient of the input.
fn method(geometry: &Geometry) -> Method {
    match winograd::tiles(geometry) {
        Some(tiles) => Method::Winograd(tiles),
        None if pointwise::takes(geometry) => Method::Pointwise,
        None => Method::Direct,
    }
}

/// Returns the method for the gradient of the weights.
fn weight_gradient_method(geometry: &Geometry) -> Method {
    match winograd::weight_gradient_tiles(geometry) {
        Some(tiles) => Method::Winograd(tiles),
        None if pointwise::takes_weight_gradient(geometry) => Method::Pointwise,
        None => Method::Direct,
    }
}

pub(crate) enum Convolution {
    Direct(Outputs),
    FewChannels(FewChannels),
    Matrix(Matrix),
    Scatter(Scatter),
    SmallTiles(Winograd<Small, 2, 4>),
    LargeTiles(Winograd<Large, 4, 6>),
}

impl Convolution {
    /// Prepares the convolution with these weights, `[outputs, channels, kernel height, kernel width]`.
    pub(crate) fn forward(geometry: &Geometry, weight: &[f32]) -> Self {
        if few_channels::takes(geometry) {
            return Self::FewChannels(FewChannels::forward(geometry, weight));
        }
        match method(geometry) {
            Method::Direct => Self::Direct(forward::forward(geometry, weight)),
            Method::Pointwise => Self::Matrix(pointwise::forward(geometry, weight)),
            Method::Winograd(Tiles::Small) => Self::SmallTiles(Winograd::forward(geometry, weight)),
            Method::Winograd(Tiles::Large) => Self::LargeTiles(Winograd::forward(geometry, weight)),
        }
    }

    /// Prepares the gradient of its input.
    pub(crate) fn input_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        if scatter::takes(geometry) {
            return Self::Scatter(Scatter::input_gradient(geometry, weight));
        }
        match method(geometry) {
            Method::Direct => Self::Direct(input_gradient::input_gradient(geometry, weight)),
            Method::Pointwise => Self::Matrix(pointwise::input_gradient(geometry, weight)),
            Method::Winograd(Tiles::Small) => Self::SmallTiles(Winograd::input_gradient(geometry, weight)),
            Method::Winograd(Tiles::Large) => Self::LargeTiles(Winograd::input_gradient(geometry, weight)),
        }
    }

    /// Prepares the dense layer with these weights, `[channels · height · width, outputs]`.
    pub(crate) fn dense(geometry: &Geometry, weight: &[f32]) -> Self {
        Self::Matrix(dense::forward(geometry, weight))
    }

    /// Prepares the gradient of its input.
    pub(crate) fn dense_input_gradient(geometry: &Geometry, weight: &[f32]) -> Self {
        Self::Matrix(dense::input_gradient(geometry, weight))
    }

    /// Writes the outputs for some images, with the channels last. Previous values are overwritten, except with `Addend::Outputs`.
    ///
    /// The values of an image do not depend on the other images or on the number of threads.
    pub(crate) fn run(&self, images: &[f32], format: Format, addend: Addend, outputs: &mut [f32]) {
        let last = |image| channels_last(images, format, image);
        match self {
            Self::Direct(direct) => direct.run(images, format, addend, outputs),
            Self::FewChannels(few) => few.run(images, format, addend, outputs),
            Self::Matrix(matrix) => matrix.run(&last(matrix.image()), addend, outputs),
            Self::Scatter(scatter) => scatter.run(&last(scatter.image()), addend, outputs),
            Self::SmallTiles(winograd) => winograd.run(&last(winograd.image()), addend, outputs),
            Self::LargeTiles(winograd) => winograd.run(&last(winograd.image()), addend, outputs),
        }
    }

    /// Size of the packed weights, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Direct(outputs) => outputs.bytes(),
            Self::FewChannels(few) => few.bytes(),
            Self::Matrix(matrix) => matrix.bytes(),
            Self::Scatter(scatter) => scatter.bytes(),
            Self::SmallTiles(winograd) => winograd.bytes(),
            Self::LargeTiles(winograd) => winograd.bytes(),
        }
    }
}

/// Computes the gradient of the weights, `[outputs, channels, kernel height, kernel width]`.
pub(crate) fn weight_gradient(
    geometry: &Geometry,
    (images, image_format): (&[f32], Format),
    (gradients, gradient_format): (&[f32], Format),
) -> Vec<f32> {
    let area = |size: [usize; 2]| size[0] * size[1];
    let image = [geometry.channels, area(geometry.input)];
    let gradient = [geometry.outputs, area(geometry.output_size())];
    let last =
        || (channels_last(images, image_format, image), channels_last(gradients, gradient_format, gradient));
    match weight_gradient_method(geometry) {
        Method::Direct => {
            direct::weight_gradient(geometry, (images, image_format), (gradients, gradient_format))
        }
        Method::Pointwise => {
            let (images, gradients) = last();
            pointwise::weight_gradient(geometry, &images, &gradients)
        }
        Method::Winograd(tiles) => {
            let (images, gradients) = last();
            match tiles {
                Tiles::Small => winograd::weight_gradient::<Small, 2, 4>(geometry, &images, &gradients),
                Tiles::Large => winograd::weight_gradient::<Large, 4, 6>(geometry, &images, &gradients),
            }
        }
    }
}

/// Returns the images, with the given numbers of channels and pixels, in channels-last order. They are copied unless they already have
/// that order.
fn channels_last(images: &[f32], format: Format, [channels, pixels]: [usize; 2]) -> Cow<'_, [f32]> {
    if format == Format::ChannelsLast || pixels == 1 {
        return images.into();
    }
    // Number of pixels that are copied together, so that each written cache line is filled before the next.
    const TOGETHER: usize = 16;
    let mut last = vec![0.0; images.len()];
    let image = channels * pixels;
    last.par_chunks_exact_mut(image).zip(images.par_chunks_exact(image)).for_each(|(last, image)| {
        for (number, last) in last.chunks_mut(TOGETHER * channels).enumerate() {
            for (channel, plane) in image.chunks_exact(pixels).enumerate() {
                let to = last[channel..].iter_mut().step_by(channels);
                to.zip(&plane[number * TOGETHER..]).for_each(|(to, from)| *to = *from);
            }
        }
    });
    last.into()
}
