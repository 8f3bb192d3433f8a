//! The proposals and the starting point in Linf.

use super::window::{Window, signs};
use crate::draws::Draws;

/// A proposal in Linf: the values of the square become those of the image plus or minus epsilon.
pub(super) struct Repaint {
    pub(super) window: Window,
    /// One sign per channel.
    pub(super) signs: Vec<f32>,
}

impl Repaint {
    pub(super) fn draw(side: usize, shape: [usize; 3], draws: &mut Draws) -> Self {
        let window = Window::draw(side, shape, draws);
        Self { window, signs: signs(shape[0], draws) }
    }

    /// The indices of the values that the proposal sets, with their new values.
    pub(super) fn values<'a>(
        &'a self,
        epsilon: f32,
        image: &'a [f32],
        shape: [usize; 3],
    ) -> impl Iterator<Item = (usize, f32)> + 'a {
        self.signs.iter().enumerate().flat_map(move |(channel, sign)| {
            let places = self.window.places(shape, channel);
            places.map(move |i| (i, (image[i] + epsilon * sign).clamp(0.0, 1.0)))
        })
    }
}

/// The starting point in Linf: vertical stripes of plus or minus epsilon in each channel.
///
/// `signs` has one sign per channel and column.
pub(super) fn stripes(
    epsilon: f32,
    image: &[f32],
    [channels, height, width]: [usize; 3],
    signs: &[f32],
) -> Vec<f32> {
    let mut point = image.to_vec();
    for channel in 0..channels {
        for (column, sign) in signs[channel * width..(channel + 1) * width].iter().enumerate() {
            for row in 0..height {
                let value = &mut point[(channel * height + row) * width + column];
                *value = (*value + epsilon * sign).clamp(0.0, 1.0);
            }
        }
    }
    point
}

/// Draws the signs of [`stripes`].
pub(super) fn draw_stripes([channels, _, width]: [usize; 3], draws: &mut Draws) -> Vec<f32> {
    signs(channels * width, draws)
}
