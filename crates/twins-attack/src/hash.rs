/// A 64-bit hash that is the same in every release, unlike the standard library's. It is FNV-1a over words of eight
/// bytes instead of single bytes, which is eight times as fast. It detects accidental differences between data, not
/// intended ones. Journals and fingerprints on the disk contain its values, so a crate's hash cannot replace it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// Hashes the bytes and their number, so that trailing zeros count.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    pub(crate) fn floats(&mut self, values: &[f32]) {
        let (pairs, rest) = values.as_chunks::<2>();
        for [a, b] in pairs {
            self.word(u64::from(a.to_bits()) | u64::from(b.to_bits()) << 32);
        }
        rest.iter().for_each(|value| self.word(u64::from(value.to_bits())));
        self.word(values.len() as u64);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut hash = Hash::new();
        hash.bytes(bytes);
        hash.value()
    }

    #[test]
    fn every_bit_and_the_length_count() {
        let bytes: Vec<u8> = (0..21).collect();
        for bit in 0..8 * bytes.len() {
            let mut other = bytes.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of(&other), of(&bytes), "bit {bit}");
        }
        assert_ne!(of(&[1]), of(&[1, 0]));
        let floats = |values: &[f32]| {
            let mut hash = Hash::new();
            hash.floats(values);
            hash.value()
        };
        assert_ne!(floats(&[1.0, 2.0, 3.0]), floats(&[1.0, 2.0, 3.0000002]));
        assert_ne!(floats(&[0.0, 1.0]), floats(&[-0.0, 1.0]));
    }
}
