//! Estimates the memory that the objects of a pickle take while it is parsed.

use std::collections::HashMap;

/// The bytes of an object without its text: about 80 in the parser, twice as many while lists and dictionaries grow, and those of an
/// allocation.
const OBJECT: u64 = 200;

/// The sizes of the objects on the stack and in the memo of a parser that copies whatever is put into the memo, or fetched from it, with
/// everything in it.
///
/// The instructions are those of `pickletools`. If one of them does not find its operands, the parser reports that later, and here the
/// operands that are missing have no size.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    stack: Vec<u64>,
    marks: Vec<usize>,
    memo: HashMap<u64, u64>,
    total: u64,
}

impl Sizes {
    /// The bytes of all objects.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Pushes an object with so many bytes of text.
    pub(super) fn push(&mut self, text: u64) {
        self.put(OBJECT.saturating_add(text));
    }

    /// Copies the object on top of the stack to the memo.
    pub(super) fn memoize(&mut self, index: u64) {
        let size = self.stack.last().copied().unwrap_or_default();
        let before = self.memo.insert(index, size).unwrap_or_default();
        self.total = self.total.saturating_sub(before).saturating_add(size);
    }

    /// Pushes a copy of an object in the memo.
    pub(super) fn get(&mut self, index: u64) {
        let size = self.memo.get(&index).copied().unwrap_or_default();
        self.put(size.max(OBJECT));
    }

    /// Executes an instruction that has no argument in the pickle. Others are left to the methods above.
    pub(super) fn instruction(&mut self, code: u8) {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop(1);
            }
            b'1' => {
                self.pop_to_mark();
            }
            b'2' => {
                let size = self.stack.last().copied().unwrap_or_default();
                self.put(size);
            }
            // None, truths, and empty containers.
            b'N' | 0x88 | 0x89 | b')' | b']' | b'}' | 0x8f => self.push(0),
            // Containers of everything behind the mark.
            b't' | b'l' | b'd' | 0x91 => {
                let items = self.pop_to_mark();
                self.put(items.saturating_add(OBJECT));
            }
            // Tuples, calls of a function, and new objects. The result of a call holds no more than its arguments.
            0x85 | b'Q' => self.join(1),
            0x86 | b'R' | 0x81 | 0x93 => self.join(2),
            0x87 | 0x92 => self.join(3),
            // Items for the container below.
            b'a' => self.add(1),
            b's' => self.add(2),
            b'e' | b'u' | 0x90 => {
                let items = self.pop_to_mark();
                self.extend(items);
            }
            // A state for the object below, of which the parser renews the copy in the memo.
            b'b' => {
                self.add(1);
                let size = self.stack.last().copied().unwrap_or_default();
                self.total = self.total.saturating_add(size);
            }
            _ => {}
        }
    }

    fn put(&mut self, size: u64) {
        self.stack.push(size);
        self.total = self.total.saturating_add(size);
    }

    /// Removes objects from the stack and returns their size.
    fn pop(&mut self, count: usize) -> u64 {
        let start = self.stack.len().saturating_sub(count);
        let size = self.stack.drain(start..).fold(0, u64::saturating_add);
        self.total = self.total.saturating_sub(size);
        size
    }

    fn pop_to_mark(&mut self) -> u64 {
        let mark = self.marks.pop().unwrap_or(self.stack.len());
        self.pop(self.stack.len().saturating_sub(mark))
    }

    /// Replaces objects by one that holds them.
    fn join(&mut self, count: usize) {
        let size = self.pop(count);
        self.put(size.saturating_add(OBJECT));
    }

    /// Adds objects to the one below them.
    fn add(&mut self, count: usize) {
        let size = self.pop(count);
        self.extend(size);
    }

    fn extend(&mut self, size: u64) {
        if let Some(top) = self.stack.last_mut() {
            *top = top.saturating_add(size);
            self.total = self.total.saturating_add(size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(codes: &[u8]) -> Sizes {
        let mut sizes = Sizes::default();
        codes.iter().for_each(|code| sizes.instruction(*code));
        sizes
    }

    #[test]
    fn objects_are_where_they_are_put() {
        for (codes, stack, total) in [
            (&b"NN"[..], &[200, 200][..], 400),
            (b"NN0", &[200], 200),
            (b"N(NNt", &[200, 600], 800),
            (b"](NNe", &[600], 600),
            (b"}NNs", &[600], 600),
            (b"NN\x86", &[600], 600),
            (b"NNR2", &[600, 600], 1200),
            (b"N(NN1", &[200], 200),
            // The state and the copy of the object.
            (b"}Nb", &[400], 800),
            // Without operands.
            (b"\x87t", &[200, 200], 400),
            (b"sb0", &[], 0),
        ] {
            let sizes = after(codes);
            assert_eq!((&sizes.stack[..], sizes.total), (stack, total), "{codes:?}");
        }
    }

    #[test]
    fn the_memo_holds_copies() {
        let mut sizes = after(b"NN\x86");
        sizes.memoize(7);
        sizes.get(7);
        sizes.push(50);
        assert_eq!((&sizes.stack[..], sizes.total), (&[600, 600, 250][..], 2050));
        // A second object in the same place replaces the first; one that is not there is left to the parser.
        sizes.memoize(7);
        sizes.get(8);
        assert_eq!(sizes.total, 2050 - 600 + 250 + 200);
    }
}
