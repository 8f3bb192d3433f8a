use crate::Draws;

/// The bump that L2 and L1 squares are made of: two nested pyramids of opposite sign, side by side or one above the
/// other, of Euclidean length one (Andriushchenko et al. 2020, Sec. 3.3).
pub(super) fn bump(height: usize, width: usize, draws: &mut Draws) -> Vec<f32> {
    let upright = draws.sign() > 0.0;
    // Along the side that is split in two, and across it.
    let (along, across) = if upright { (height, width) } else { (width, height) };
    let half = along / 2;
    let (first, second) = (pyramid(half, across), pyramid(along - half, across));
    let mut values = vec![0.0; height * width];
    for a in 0..along {
        for c in 0..across {
            let value = if a < half { first[a * across + c] } else { -second[(a - half) * across + c] };
            let (row, column) = if upright { (a, c) } else { (c, a) };
            values[row * width + column] = value;
        }
    }
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter_mut().for_each(|v| *v /= length.max(f32::MIN_POSITIVE));
    values
}

/// Sum over `k = 0, 1, ...` of `1 / (k + 1)²` on the rectangle that reaches `k` values around the middle, of Euclidean
/// length one.
fn pyramid(height: usize, width: usize) -> Vec<f32> {
    let mut values = vec![0.0; height * width];
    let (middle_row, middle_column) = (height / 2, width / 2);
    for k in 0..=middle_row.max(middle_column) {
        let weight = 1.0 / ((k + 1) * (k + 1)) as f32;
        for row in middle_row.saturating_sub(k)..(middle_row + k + 1).min(height) {
            for column in middle_column.saturating_sub(k)..(middle_column + k + 1).min(width) {
                values[row * width + column] += weight;
            }
        }
    }
    let length = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    values.iter_mut().for_each(|v| *v /= length.max(f32::MIN_POSITIVE));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pyramids_fall_from_the_middle() {
        // The middle gets 1 + 1/4, the ring around it 1/4.
        let values = pyramid(3, 3);
        assert!((values[4] / values[0] - 5.0).abs() < 1e-6 && (values[1] - values[8]).abs() < 1e-6);
    }

    #[test]
    fn bumps_have_length_one_and_two_signs() {
        for (height, width) in [(1, 1), (1, 3), (3, 3), (5, 4)] {
            for seed in 0..4 {
                let values = bump(height, width, &mut Draws::new(seed, 0, "test", 0));
                assert!((values.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
                let both = values.iter().any(|v| *v > 0.0) && values.iter().any(|v| *v < 0.0);
                assert!(both || height.min(width) == 1);
            }
        }
    }
}
