use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The batches of one epoch: `ids` in an order that depends on (seed, epoch) alone, cut into `batch_size`.
///
/// A single leftover sample joins the batch before it, which then has `batch_size + 1`: batch statistics need two
/// values and the wings a sample each, and no sample is left out of an epoch. Two or more leftover samples are a
/// batch of their own.
pub(crate) fn epoch_batches(ids: &[usize], batch_size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let mut ids = ids.to_vec();
    let mut draws = ChaCha8Rng::seed_from_u64(seed);
    draws.set_stream(epoch as u64);
    ids.shuffle(&mut draws);
    let mut batches: Vec<Vec<usize>> = ids.chunks(batch_size).map(<[usize]>::to_vec).collect();
    if let [.., previous, leftover] = batches.as_mut_slice()
        && leftover.len() == 1
    {
        previous.append(leftover);
        batches.pop();
    }
    batches
}

/// The number of batches that [`epoch_batches`] makes of `samples`.
pub(crate) fn batch_count(samples: usize, batch_size: usize) -> usize {
    match (samples / batch_size, samples % batch_size) {
        (full @ 1.., 0 | 1) => full,
        (full, _) => full + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_once_and_no_batch_of_one() {
        for samples in 2..40 {
            let ids: Vec<usize> = (100..100 + samples).collect();
            for batch_size in 2..10 {
                let batches = epoch_batches(&ids, batch_size, 3, 1);
                let mut seen = batches.concat();
                seen.sort_unstable();
                assert_eq!(seen, ids);
                assert!(batches.iter().all(|batch| (2..=batch_size + 1).contains(&batch.len())));
                assert_eq!(batches.len(), batch_count(samples, batch_size), "{samples} in {batch_size}");
            }
        }
    }

    #[test]
    fn order_depends_on_seed_and_epoch() {
        let ids: Vec<usize> = (0..50).collect();
        let order = |seed, epoch| epoch_batches(&ids, 8, seed, epoch).concat();
        assert_eq!(order(1, 2), order(1, 2));
        assert_ne!(order(1, 2), order(1, 3));
        assert_ne!(order(1, 2), order(2, 2));
        assert_ne!(order(1, 2), ids);
    }
}
