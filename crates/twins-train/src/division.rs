use std::ops::Range;

/// Parts of fewer samples have no batch statistics, and none for each wing.
pub(crate) const SMALLEST_PART: usize = 2;

/// Divides the samples of a batch contiguously among devices, and each device's share into micro-batches.
///
/// Sizes differ by at most one, the larger ones first. Where a batch is too small to give every part two samples there are
/// fewer parts: micro-batches first, then devices, of which the last have nothing to do. A batch of one sample is one part.
pub(crate) fn divide(samples: usize, devices: usize, micro_batches: usize) -> Vec<Vec<Range<usize>>> {
    cut(0..samples, devices).into_iter().map(|share| cut(share, micro_batches)).collect()
}

fn cut(whole: Range<usize>, parts: usize) -> Vec<Range<usize>> {
    let samples = whole.len();
    let parts = parts.min(samples / SMALLEST_PART).max(1);
    let (size, larger) = (samples / parts, samples % parts);
    let mut start = whole.start;
    (0..parts)
        .map(|part| {
            let range = start..start + size + usize::from(part < larger);
            start = range.end;
            range
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let bounds = |samples, devices, micro_batches| -> Vec<Vec<[usize; 2]>> {
            let shares = divide(samples, devices, micro_batches).into_iter();
            shares.map(|parts| parts.into_iter().map(|part| [part.start, part.end]).collect()).collect()
        };
        assert_eq!(bounds(9, 1, 1), [[[0, 9]]]);
        assert_eq!(bounds(11, 2, 2), [[[0, 3], [3, 6]], [[6, 9], [9, 11]]]);
        // Three samples are too few for two micro-batches, five for three devices.
        assert_eq!(bounds(6, 2, 2), [[[0, 3]], [[3, 6]]]);
        assert_eq!(bounds(5, 3, 1), [[[0, 3]], [[3, 5]]]);
        assert_eq!(bounds(1, 4, 4), [[[0, 1]]]);
    }

    #[test]
    fn every_sample_once_and_no_part_of_one() {
        for samples in 2..40 {
            for devices in 1..6 {
                for micro_batches in 1..6 {
                    let shares = divide(samples, devices, micro_batches);
                    assert!(
                        shares.len() <= devices && shares.iter().all(|parts| parts.len() <= micro_batches)
                    );
                    let parts = shares.concat();
                    assert!(parts.iter().all(|part| part.len() >= SMALLEST_PART));
                    let seen: Vec<usize> = parts.into_iter().flatten().collect();
                    assert_eq!(seen, (0..samples).collect::<Vec<_>>());
                }
            }
        }
    }
}
