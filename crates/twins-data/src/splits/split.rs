use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::draws::{Purpose, draws};
use crate::error::DataError;

/// The indices of a training and a validation set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The indices of the training samples, in ascending order.
    pub train: Vec<usize>,
    /// The indices of the validation samples, in ascending order.
    pub validation: Vec<usize>,
}

/// Splits samples into a training and a validation set, each class in the same proportion.
///
/// The validation set has `fraction` of all samples, rounded, and at least one. Each class contributes its share,
/// rounded down, and the classes with the largest remainders contribute one more sample; at least one sample of every
/// class stays in training. `seed` determines the choice of the samples.
///
/// # Errors
/// [`DataError::InvalidFraction`] unless `0 < fraction < 1`, [`DataError::TooFewToSplit`] if no class can spare a
/// sample.
///
/// ```
/// # fn main() -> Result<(), twins_data::DataError> {
/// let labels = [0, 0, 0, 0, 1, 1, 1, 1];
/// let split = twins_data::split(&labels, 0.25, 0)?;
/// assert_eq!(split.train.len(), 6);
/// assert_eq!(split.validation.iter().map(|&index| labels[index]).collect::<Vec<_>>(), [0, 1]);
/// # Ok(())
/// # }
/// ```
pub fn split(labels: &[usize], fraction: f64, seed: u64) -> Result<Split, DataError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::InvalidFraction { fraction });
    }
    let mut classes = BTreeMap::<usize, Vec<usize>>::new();
    for (index, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(index);
    }

    let wanted = ((labels.len() as f64 * fraction).round() as usize).max(1);
    // Per class: the label, the number of validation samples, and the remainder of the share.
    let mut shares: Vec<(usize, usize, f64)> = classes
        .iter()
        .map(|(&label, indices)| {
            let share = indices.len() as f64 * fraction;
            (label, share as usize, share.fract())
        })
        .collect();
    let given: usize = shares.iter().map(|share| share.1).sum();
    shares.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    shares
        .iter_mut()
        .filter(|share| share.1 + 1 < classes[&share.0].len())
        .take(wanted.saturating_sub(given))
        .for_each(|share| share.1 += 1);

    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for (label, count, _) in shares {
        let indices = classes.get_mut(&label).expect("every share is of a class");
        indices.shuffle(&mut draws(seed, label as u64, Purpose::Split));
        split.validation.extend_from_slice(&indices[..count]);
        split.train.extend_from_slice(&indices[count..]);
    }
    if split.validation.is_empty() {
        return Err(DataError::TooFewToSplit { samples: labels.len(), classes: classes.len() });
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_gives_its_share() {
        // 60 of class 0, 30 of class 1, 10 of class 2: a tenth of each is 6, 3 and 1.
        let labels: Vec<usize> = [(0, 60), (1, 30), (2, 10)]
            .into_iter()
            .flat_map(|(label, count)| std::iter::repeat_n(label, count))
            .collect();
        let split = split(&labels, 0.1, 3).unwrap();
        let count = |label| split.validation.iter().filter(|&&index| labels[index] == label).count();
        assert_eq!([count(0), count(1), count(2)], [6, 3, 1]);
        let mut all = [split.train, split.validation].concat();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn remainders_are_rounded_over_all_classes() {
        // 4 × 3 samples, a quarter: 3 in all, where every class's own share is 0.75.
        let labels: Vec<usize> = (0..12).map(|index| index % 4).collect();
        assert_eq!(split(&labels, 0.25, 0).unwrap().validation.len(), 3);
    }

    #[test]
    fn the_largest_remainder_is_rounded_up() {
        // A tenth of 12 and of 18: 1.2 and 1.8, 3 in all.
        let labels: Vec<usize> = (0..30).map(|index| usize::from(index >= 12)).collect();
        let validation = split(&labels, 0.1, 0).unwrap().validation;
        assert_eq!(validation.iter().map(|&index| labels[index]).collect::<Vec<_>>(), [0, 1, 1]);
        // A tenth of three samples is less than half of one.
        assert_eq!(split(&[0; 3], 0.1, 0).unwrap().validation.len(), 1);
    }

    #[test]
    fn the_samples_of_a_seed_never_change() {
        // A model file records the seed, and an evaluation draws again what the training held out. The indices are those of a second
        // implementation of ChaCha8 and of the shuffle of rand 0.10, in Python.
        let labels: Vec<usize> = (0..60).map(|index| index / 20).collect();
        for (seed, expected) in [
            (0, [0, 5, 14, 15, 27, 32, 36, 38, 44, 45, 48, 49]),
            (1, [3, 5, 8, 13, 25, 33, 36, 39, 44, 50, 52, 55]),
        ] {
            assert_eq!(split(&labels, 0.2, seed).unwrap().validation, expected);
        }
    }

    #[test]
    fn depends_on_the_seed_alone() {
        let labels: Vec<usize> = (0..1000).map(|index| index % 10).collect();
        assert_eq!(split(&labels, 0.1, 1).unwrap(), split(&labels, 0.1, 1).unwrap());
        assert_ne!(split(&labels, 0.1, 1).unwrap(), split(&labels, 0.1, 2).unwrap());
    }

    #[test]
    fn refuses_what_cannot_be_split() {
        for fraction in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(split(&[0, 0], fraction, 0), Err(DataError::InvalidFraction { .. })));
        }
        assert!(matches!(
            split(&[0, 1, 2], 0.5, 0),
            Err(DataError::TooFewToSplit { samples: 3, classes: 3 })
        ));
        assert!(matches!(split(&[], 0.5, 0), Err(DataError::TooFewToSplit { .. })));
    }
}
