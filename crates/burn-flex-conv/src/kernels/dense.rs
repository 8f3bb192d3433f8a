//! Dense layers: products of whole images and a matrix.

use super::geometry::Geometry;
use super::matrix::Matrix;

/// Prepares the layer with these weights, `[channels · height · width, outputs]`. It is a convolution whose kernel is as
/// large as the image.
pub(crate) fn forward(geometry: &Geometry, weight: &[f32]) -> Matrix {
    let &Geometry { channels, outputs, .. } = geometry;
    let (pixels, place) = places(geometry);
    let value = |at, output| weight[place(at) * outputs + output];
    Matrix::new([channels, pixels], [channels * pixels, outputs], value)
}

/// Prepares the gradient of its input, with the channels last.
pub(crate) fn input_gradient(geometry: &Geometry, weight: &[f32]) -> Matrix {
    let &Geometry { channels, outputs, .. } = geometry;
    let (pixels, place) = places(geometry);
    let value = |output, at| weight[place(at) * outputs + output];
    Matrix::new([outputs, 1], [outputs, channels * pixels], value)
}

/// Returns the number of pixels, and a function that maps the position of a value in channels-last order to its position in
/// channels-first order.
fn places(geometry: &Geometry) -> (usize, impl Fn(usize) -> usize + Sync) {
    let &Geometry { channels, input: [height, width], .. } = geometry;
    let pixels = height * width;
    (pixels, move |at| at % channels * pixels + at / channels)
}
