//! The order of a sample's logits.

/// The index of the largest value; the first one on a tie.
pub(crate) fn argmax(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

/// The class other than `class` with the largest logit.
pub(crate) fn best_other(logits: &[f32], class: usize) -> usize {
    let others = (0..logits.len()).filter(|&i| i != class);
    others.reduce(|best, i| if logits[i] > logits[best] { i } else { best }).expect("at least two classes")
}

/// The indices of the up to four largest logits, in descending order. If there are fewer, the last index is repeated.
pub(crate) fn largest(logits: &[f32]) -> [usize; 4] {
    let mut order = [usize::MAX; 4];
    for i in 0..logits.len() {
        let place = order.iter().position(|&o| o == usize::MAX || logits[i] > logits[o]);
        if let Some(place) = place {
            order.copy_within(place..3, place + 1);
            order[place] = i;
        }
    }
    for i in 1..4 {
        if order[i] == usize::MAX {
            order[i] = order[i - 1];
        }
    }
    order
}

/// The classes in descending order of their logits. Ties are in the order of the classes.
pub(crate) fn ranking(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_values_the_first_ranks_higher() {
        let logits = [1.0, 3.0, 0.0, 3.0, 2.0];
        assert_eq!([argmax(&logits), argmax(&[1.0, 2.0, 4.0])], [1, 2]);
        assert_eq!([best_other(&logits, 0), best_other(&logits, 1)], [1, 3]);
        assert_eq!(largest(&logits), [1, 3, 4, 0]);
        assert_eq!(ranking(&logits), [1, 3, 4, 0, 2]);
        // The last one of three is repeated.
        assert_eq!(largest(&logits[..3]), [1, 0, 2, 2]);
    }
}
