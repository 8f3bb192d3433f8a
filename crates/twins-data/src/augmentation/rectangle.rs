//! Random rectangles for resized crops and random erasing.

use rand::{Rng, RngExt};

use crate::error::DataError;

/// The side that the aspect ratio multiplies, which differs between torchvision's crop and its erasing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Longer {
    Width,
    Height,
}

/// Draws the height and width of a rectangle of random area and aspect ratio, which may not fit into the image.
pub(super) fn random_rectangle(
    [height, width]: [usize; 2],
    scale: (f64, f64),
    ratio: (f64, f64),
    draw: &mut impl Rng,
    longer: Longer,
) -> [usize; 2] {
    let mut uniform = |(low, high): (f64, f64)| low + (high - low) * draw.random::<f64>();
    let area = (height * width) as f64 * uniform(scale);
    let ratio = uniform((ratio.0.ln(), ratio.1.ln())).exp();
    let long = (area * ratio).sqrt().round_ties_even() as usize;
    let short = (area / ratio).sqrt().round_ties_even() as usize;
    match longer {
        Longer::Width => [short, long],
        Longer::Height => [long, short],
    }
}

/// Draws the top left corner of a part that fits into the whole, uniformly over all positions.
pub(super) fn random_corner(whole: [usize; 2], part: [usize; 2], draw: &mut impl Rng) -> [usize; 2] {
    [0, 1].map(|axis| draw.random_range(0..=(whole[axis] - part[axis]) as u64) as usize)
}

pub(super) fn validate_scale(scale: (f64, f64)) -> Result<(), DataError> {
    if scale.0 > 0.0 && scale.0 <= scale.1 && scale.1 <= 1.0 {
        return Ok(());
    }
    Err(DataError::InvalidSetting {
        name: "the range of areas",
        value: format!("{} to {}", scale.0, scale.1),
        range: "ascending, above 0 and at most 1",
    })
}

pub(super) fn validate_ratio(ratio: (f64, f64)) -> Result<(), DataError> {
    if ratio.0 > 0.0 && ratio.0 <= ratio.1 && ratio.1.is_finite() {
        return Ok(());
    }
    Err(DataError::InvalidSetting {
        name: "the range of aspect ratios",
        value: format!("{} to {}", ratio.0, ratio.1),
        range: "ascending, above 0 and finite",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draws::{Purpose, draws};

    #[test]
    fn the_ratio_multiplies_the_side_that_is_named() {
        let mut draw = draws(0, 0, Purpose::ResizedCrop);
        let mut sides = |longer| random_rectangle([100, 100], (0.16, 0.16), (4.0, 4.0), &mut draw, longer);
        // √(1600 / 4) = 20 and √(1600 · 4) = 80.
        assert_eq!(sides(Longer::Width), [20, 80]);
        assert_eq!(sides(Longer::Height), [80, 20]);
    }

    #[test]
    fn corners_are_uniform_over_all_places() {
        // A part of 3 × 2 has two places down and three across.
        let mut counts = [[0; 3]; 2];
        for id in 0..6000 {
            let [top, left] = random_corner([4, 4], [3, 2], &mut draws(0, id, Purpose::Erasing));
            counts[top][left] += 1;
        }
        // 1000 expected, standard deviation 29: five of them.
        assert!(counts.iter().flatten().all(|count| (855..=1145).contains(count)), "{counts:?}");
    }
}
