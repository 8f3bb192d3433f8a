use crate::draws::Draws;
use crate::norms::norm::Norm;

/// How a bump is split into its two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Split {
    /// The upper rows are positive and the lower ones negative.
    Rows,
    /// The left columns are positive and the right ones negative.
    Columns,
}

impl Split {
    pub(super) fn draw(draws: &mut Draws) -> Self {
        if draws.sign() > 0.0 { Split::Rows } else { Split::Columns }
    }
}

/// The pattern `η` of the squares in L2 and L1: two pyramids of opposite sign, each of length one in the norm, which
/// are then scaled together to length one (Andriushchenko et al. 2020, Sec. 3.3; in L1 as in the authors' code in
/// AutoAttack).
pub(super) fn bump(norm: Norm, height: usize, width: usize, split: Split) -> Vec<f32> {
    // The length of the side that is split in two, and of the other side.
    let (along, across) = if split == Split::Rows { (height, width) } else { (width, height) };
    let half = along / 2;
    let (first, second) = (pyramid(norm, half, across), pyramid(norm, along - half, across));
    let mut values = vec![0.0; height * width];
    for a in 0..along {
        for c in 0..across {
            let value = if a < half { first[a * across + c] } else { -second[(a - half) * across + c] };
            let (row, column) = if split == Split::Rows { (a, c) } else { (c, a) };
            values[row * width + column] = value;
        }
    }
    to_unit_length(norm, &mut values);
    values
}

/// A pyramid: the sum over `k = 0, 1, ...` of a weight on the rectangle that extends `k` values around the middle,
/// scaled to length one in the norm. The weight is `1 / (k + 1)²` in L2 and `1 / (k + 1)⁴` in L1.
fn pyramid(norm: Norm, height: usize, width: usize) -> Vec<f32> {
    let mut values = vec![0.0; height * width];
    let (middle_row, middle_column) = (height / 2, width / 2);
    for k in 0..=middle_row.max(middle_column) {
        let weight = ((k + 1) as f32).powi(if norm == Norm::L1 { -4 } else { -2 });
        for row in middle_row.saturating_sub(k)..(middle_row + k + 1).min(height) {
            for column in middle_column.saturating_sub(k)..(middle_column + k + 1).min(width) {
                values[row * width + column] += weight;
            }
        }
    }
    to_unit_length(norm, &mut values);
    values
}

/// Scales the values to length one. An empty pattern, such as the half of a single row, is left as it is.
fn to_unit_length(norm: Norm, values: &mut [f32]) {
    let length = norm.length(values.iter().copied()).max(f32::MIN_POSITIVE);
    values.iter_mut().for_each(|v| *v /= length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pyramids_fall_from_the_middle() {
        // L2: the middle gets 1 + 1/4, the ring around it 1/4. L1: 1 + 1/16 and 1/16, which sum up to 1 + 9/16.
        let values = pyramid(Norm::L2, 3, 3);
        assert!((values[4] / values[0] - 5.0).abs() < 1e-6 && (values[1] - values[8]).abs() < 1e-6);
        let values = pyramid(Norm::L1, 3, 3);
        assert!((values[4] - 17.0 / 25.0).abs() < 1e-6 && (values[1] - 1.0 / 25.0).abs() < 1e-6);
    }

    #[test]
    fn bumps_have_length_one_and_two_signs() {
        for norm in [Norm::L2, Norm::L1] {
            for (height, width) in [(1, 1), (1, 3), (3, 3), (5, 4)] {
                for split in [Split::Rows, Split::Columns] {
                    let values = bump(norm, height, width, split);
                    assert!((norm.length(values.iter().copied()) - 1.0).abs() < 1e-5);
                    let both = values.iter().any(|v| *v > 0.0) && values.iter().any(|v| *v < 0.0);
                    assert!(both || height.min(width) == 1);
                }
            }
        }
    }
}
