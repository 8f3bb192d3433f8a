/// Derives a 64-bit key from a seed and from numbers that identify its use, by SplitMix64 (Steele, Lea, Flood, OOPSLA
/// 2014).
///
/// All random draws in training use such keys, never the state of a generator that persists between steps. A resumed
/// run therefore needs no random state besides the seed and its position.
pub(crate) fn key(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(mix(seed), |key, part| mix(key ^ mix(*part)))
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_reference_value() {
        // The first output of the published generator seeded with 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn every_part_matters() {
        let keys =
            [key(1, &[]), key(1, &[0]), key(1, &[0, 0]), key(1, &[1, 0]), key(1, &[0, 1]), key(2, &[0, 1])];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[index + 1..].contains(key));
        }
    }
}
