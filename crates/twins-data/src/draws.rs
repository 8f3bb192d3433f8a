use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of random numbers.
///
/// Every purpose has its own stream, so that enabling one augmentation does not change the random numbers of another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Split,
    Symbol,
    Background,
    Crop,
    Flip,
    ResizedCrop,
    Cutout,
    Erasing,
    Limit,
}

/// Returns the random number generator of one sample. It depends only on `seed`, `id` and `purpose`, and therefore not
/// on batch size, order or threads.
pub(crate) fn draws(seed: u64, id: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&id.to_le_bytes());
    key[16..28].copy_from_slice(b"twins-data/1");
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(purpose as u64);
    generator
}
