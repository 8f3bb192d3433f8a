use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::draws::{Purpose, draws};
use crate::splits::split::Split;

/// Draws whole groups of each class until the class's share is reached; at least one group of each class stays in training. `groups` holds
/// the group number of each sample. A group has samples of one class, and a class has at least two groups.
pub(super) fn draw_groups(labels: &[usize], groups: &[usize], fraction: f64, seed: u64) -> Split {
    let mut classes = BTreeMap::<usize, BTreeMap<usize, Vec<usize>>>::new();
    for (index, (&label, &group)) in labels.iter().zip(groups).enumerate() {
        classes.entry(label).or_default().entry(group).or_default().push(index);
    }
    let mut split = Split { train: Vec::new(), validation: Vec::new() };
    for (label, groups) in classes {
        let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
        groups.shuffle(&mut draws(seed, label as u64, Purpose::Split));
        let samples: usize = groups.iter().map(Vec::len).sum();
        let last = groups.len() - 1;
        let mut held_out = 0;
        for (position, group) in groups.into_iter().enumerate() {
            // A division, because 70 × 0.1 is above 7 in f64, while 7 / 70 is 0.1.
            if position < last && (held_out as f64 / samples as f64) < fraction {
                held_out += group.len();
                split.validation.extend(group);
            } else {
                split.train.extend(group);
            }
        }
    }
    split.train.sort_unstable();
    split.validation.sort_unstable();
    split
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Labels and groups: for each class the sizes of its groups.
    fn samples(classes: &[Vec<usize>]) -> (Vec<usize>, Vec<usize>) {
        let sizes = classes
            .iter()
            .enumerate()
            .flat_map(|(label, sizes)| sizes.iter().map(move |size| (label, *size)));
        let of_groups = sizes.enumerate();
        of_groups.flat_map(|(group, (label, size))| std::iter::repeat_n((label, group), size)).unzip()
    }

    #[test]
    fn a_tenth_of_seven_groups_of_ten_is_one_group() {
        let (labels, groups) = samples(&[vec![10; 7]]);
        assert_eq!(draw_groups(&labels, &groups, 0.1, 0).validation.len(), 10);
        // Of 70 groups of one, a tenth is seven: rounding takes no eighth.
        let (labels, groups) = samples(&[vec![1; 70]]);
        assert_eq!(draw_groups(&labels, &groups, 0.1, 0).validation.len(), 7);
        // A fifth is 14, which the second group passes.
        let (labels, groups) = samples(&[vec![10; 7]]);
        assert_eq!(draw_groups(&labels, &groups, 0.2, 0).validation.len(), 20);
    }

    #[test]
    fn a_group_of_each_class_stays_in_training() {
        // Nine tenths of two groups of five cannot be had without the second.
        let (labels, groups) = samples(&[vec![5, 5], vec![3, 3, 3]]);
        let split = draw_groups(&labels, &groups, 0.9, 4);
        assert_eq!((split.train.len(), split.validation.len()), (5 + 3, 5 + 6));
    }

    #[test]
    fn depends_on_the_seed_and_on_no_order() {
        let (labels, groups) = samples(&[vec![2; 30], vec![3; 30]]);
        let split = draw_groups(&labels, &groups, 0.1, 1);
        assert_eq!(split, draw_groups(&labels, &groups, 0.1, 1));
        assert_ne!(split, draw_groups(&labels, &groups, 0.1, 2));
        let reversed = |values: &[usize]| values.iter().rev().copied().collect::<Vec<_>>();
        let other = draw_groups(&reversed(&labels), &reversed(&groups), 0.1, 1);
        let last = labels.len() - 1;
        let mut validation: Vec<usize> = other.validation.iter().map(|index| last - index).collect();
        validation.sort_unstable();
        assert_eq!(validation, split.validation);
    }

    proptest! {
        #[test]
        fn no_group_is_on_both_sides_and_shares_are_passed_by_less_than_a_group(
            classes in prop::collection::vec(prop::collection::vec(1usize..8, 2..9), 1..5),
            fraction in 0.01f64..0.99,
            seed: u64,
        ) {
            let (labels, groups) = samples(&classes);
            let split = draw_groups(&labels, &groups, fraction, seed);
            let mut all = [split.train.clone(), split.validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            let of = |indices: &[usize], label| -> BTreeSet<usize> {
                indices.iter().filter(|&&index| labels[index] == label).map(|&index| groups[index]).collect()
            };
            for (label, sizes) in classes.iter().enumerate() {
                let (train, held_out) = (of(&split.train, label), of(&split.validation, label));
                prop_assert!(train.is_disjoint(&held_out) && !train.is_empty() && !held_out.is_empty());
                let samples: usize = sizes.iter().sum();
                let taken = split.validation.iter().filter(|&&index| labels[index] == label).count();
                let share = fraction * samples as f64;
                // Rounding of share and quotient: far below half a sample.
                prop_assert!(taken as f64 >= share - 1e-6 || train.len() == 1);
                let largest = *sizes.iter().max().unwrap();
                prop_assert!((taken as f64) < share + largest as f64 + 1e-6);
            }
        }
    }
}
