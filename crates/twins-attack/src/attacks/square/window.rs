use crate::draws::Draws;

/// A rectangle of an image, in all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

impl Window {
    /// Draws a random position for a square with this side, or with the largest side that fits into the image.
    pub(super) fn draw(side: usize, [_, height, width]: [usize; 3], draws: &mut Draws) -> Self {
        let side = side.min(height).min(width);
        let (top, left) = (draws.below(height - side + 1), draws.below(width - side + 1));
        Self { top, left, height: side, width: side }
    }

    /// The indices of the window's values in one channel of the image, row by row.
    pub(super) fn places(
        self,
        [_, height, width]: [usize; 3],
        channel: usize,
    ) -> impl Iterator<Item = usize> {
        let first = channel * height * width;
        (self.top..self.top + self.height).flat_map(move |row| {
            (self.left..self.left + self.width).map(move |column| first + row * width + column)
        })
    }
}

/// Draws `count` signs, one per channel or one per value of a row.
pub(super) fn signs(count: usize, draws: &mut Draws) -> Vec<f32> {
    (0..count).map(|_| draws.sign()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_reach_every_row_and_column() {
        let shape = [1, 5, 7];
        let mut draws = Draws::new(0, 0, "test", 0);
        let windows: Vec<Window> = (0..200).map(|_| Window::draw(3, shape, &mut draws)).collect();
        assert!(
            windows.iter().any(|w| w.top + w.height == 5) && windows.iter().any(|w| w.left + w.width == 7)
        );
        assert_eq!(Window::draw(9, shape, &mut draws).width, 5);
    }
}
