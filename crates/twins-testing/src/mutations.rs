/// Numbers that lengths, offsets, counts and shapes are seldom checked against.
const EXTREMES: [u64; 11] =
    [0, 1, 0x7f, 0xff, 0xffff, i32::MAX as u64, u32::MAX as u64, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX];

/// The same for numbers in text.
const NUMBERS: [&str; 9] =
    ["-1", "0", "18446744073709551615", "18446744073709551616", "1e308", "-1e308", "5e-324", "0.1", "nan"];

/// Text that means something to a terminal, a page, a path or a parser.
const TEXTS: [&str; 12] =
    ["\u{1b}[2J", "\\u001b[2J", "\n", "\0", "../", "/", "<script>", "\"", "\u{202e}", "null", "[[", "{\"\":"];

/// Damages files: the same ones in the same way for the same seed.
///
/// Places are often near the beginning or the end, where headers and directories are.
#[derive(Clone, Debug)]
pub struct Mutations {
    state: u64,
}

impl Mutations {
    /// The mutations of a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Changes the content of a file in one to five ways. Empty content stays empty.
    pub fn apply(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(5) {
            if bytes.is_empty() {
                return;
            }
            self.change(bytes);
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes.len());
        let end = |count: usize| (at + count).min(bytes.len());
        match self.below(20) {
            0..4 => bytes[at] ^= 1 << self.below(8),
            4..7 => bytes[at] = self.next() as u8,
            7..11 => {
                let number = EXTREMES[self.below(EXTREMES.len())];
                let number = if self.below(2) == 0 { number.to_le_bytes() } else { number.to_be_bytes() };
                let width = 1 << self.below(4);
                // A shorter number has the significant bytes: the first ones of a small little-endian number.
                let number = if number[7] == 0 { &number[..width] } else { &number[8 - width..] };
                let end = end(width);
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            11 => bytes.truncate(at),
            12 => {
                let end = end(1 + self.below(256));
                bytes.drain(at..end);
            }
            13..15 => {
                let end = end(1 + self.below(256));
                let copy = bytes[at..end].to_vec();
                let to = self.place(bytes.len());
                bytes.splice(to..to, copy);
            }
            15 => {
                let end = end(1 + self.below(16));
                bytes[at..end].fill([0, 0x7f, 0xff][self.below(3)]);
            }
            16 => {
                let inserted: Vec<u8> = (0..=self.below(16)).map(|_| self.next() as u8).collect();
                bytes.splice(at..at, inserted);
            }
            17 => {
                let text = TEXTS[self.below(TEXTS.len())];
                bytes.splice(at..at, text.bytes());
            }
            _ => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                let digits = |byte: &u8| byte.is_ascii_digit();
                let Some(start) = bytes[at..].iter().position(digits).map(|offset| at + offset) else {
                    return;
                };
                let length = bytes[start..].iter().take_while(|byte| digits(byte)).count();
                bytes.splice(start..start + length, number.bytes());
            }
        }
    }

    /// A place in so many bytes: anywhere, near the beginning, or near the end.
    fn place(&mut self, length: usize) -> usize {
        let near = length.min(64);
        match self.below(4) {
            0 | 1 => self.below(length),
            2 => self.below(near),
            _ => length - near + self.below(near),
        }
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mutated(whole: &[u8], seed: u64) -> Vec<u8> {
        let mut bytes = whole.to_vec();
        Mutations::new(seed).apply(&mut bytes);
        bytes
    }

    #[test]
    fn a_seed_says_what_is_changed_and_seeds_differ() {
        let whole: Vec<u8> = (0..200).collect();
        let all: BTreeSet<Vec<u8>> = (0..1000).map(|seed| mutated(&whole, seed)).collect();
        assert!(all.len() > 900, "{}", all.len());
        assert!((0..1000).all(|seed| mutated(&whole, seed) == mutated(&whole, seed)));
        let lengths: BTreeSet<usize> = all.iter().map(Vec::len).collect();
        assert!(lengths.first() < Some(&100) && lengths.last() > Some(&250), "{lengths:?}");
    }

    #[test]
    fn files_of_any_length_are_changed() {
        for length in 0..70 {
            for seed in 0..300 {
                assert!(mutated(&vec![b'0'; length], seed).len() <= length + 5 * 256);
            }
        }
    }

    #[test]
    fn numbers_and_texts_are_put_in() {
        let found = |part: &str| {
            (0..5000).any(|seed| {
                mutated(br#"{"epochs": 12, "name": "a"}"#, seed)
                    .windows(part.len())
                    .any(|w| w == part.as_bytes())
            })
        };
        assert!(NUMBERS.into_iter().chain(TEXTS).all(found));
    }
}
