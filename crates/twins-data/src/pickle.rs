//! A reader for the few pickles that data sets are published in.
//!
//! It knows the instructions that a dictionary of numbers, text and NumPy arrays takes, follows no reference to
//! Python code but the three names that NumPy writes for an array, and calls nothing. Values live in one list and
//! refer to each other by number, so that neither nesting nor sharing costs a copy or a recursion.

use std::collections::HashMap;

/// What is wrong with a pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// It ends before its last instruction.
    #[error("it is truncated: byte {position} is missing")]
    Truncated {
        /// The file's size in bytes.
        position: usize,
    },
    /// It holds an instruction that no data set needs.
    #[error("it has the instruction {code:#04x} at byte {position}, which published data sets do not have")]
    UnknownInstruction {
        /// The instruction.
        code: u8,
        /// Where it is.
        position: usize,
    },
    /// It names something other than NumPy's arrays.
    #[error("it asks for {name}, which images never need: nothing was run, do not trust this file")]
    Refused {
        /// The name.
        name: String,
    },
    /// It takes more instructions than a data set does.
    #[error("it takes more than {limit} instructions")]
    TooLong {
        /// The number allowed.
        limit: usize,
    },
    /// An instruction does not find the values that it works on.
    #[error("the instruction at byte {position} does not find the values that it needs")]
    Inconsistent {
        /// Where it is.
        position: usize,
    },
}

/// The number of a value.
pub(crate) type Id = u32;

/// A NumPy name that may be referred to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Reconstruct,
    Array,
    Dtype,
}

impl Known {
    fn named(module: &[u8], name: &[u8]) -> Result<Self, PickleFault> {
        match (module, name) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Ok(Self::Reconstruct),
            (b"numpy", b"ndarray") => Ok(Self::Array),
            (b"numpy", b"dtype") => Ok(Self::Dtype),
            _ => {
                let shown = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(100)]).into_owned();
                Err(PickleFault::Refused { name: format!("{}.{}", shown(module), shown(name)) })
            }
        }
    }
}

#[derive(Debug)]
enum Value {
    Nothing,
    Truth(bool),
    Integer(i64),
    /// Text or bytes: where they are in the file.
    Bytes {
        start: usize,
        length: usize,
    },
    /// A list or a tuple.
    Sequence(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Name(Known),
    /// What a name was applied to, and the state that it was given.
    Object {
        name: Known,
        arguments: Id,
        state: Option<Id>,
    },
}

/// The values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Id,
}

/// CIFAR-100 takes 200 000. An instruction makes at most one value, a place on the stack and one in the memo, about
/// 50 bytes; twice that while lists grow.
const INSTRUCTIONS: usize = 500_000;

impl<'a> Pickle<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, PickleFault> {
        let machine = Machine {
            bytes,
            position: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        machine.run()
    }

    pub(crate) fn root(&self) -> Id {
        self.root
    }

    /// The value of a text key, if the value `of` is a dictionary that has it.
    pub(crate) fn entry(&self, of: Id, key: &str) -> Option<Id> {
        let Value::Dictionary(items) = self.value(of) else { return None };
        let found = items.iter().rev().find(|(name, _)| self.bytes(*name) == Some(key.as_bytes()));
        found.map(|(_, value)| *value)
    }

    pub(crate) fn sequence(&self, of: Id) -> Option<&[Id]> {
        match self.value(of) {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn integer(&self, of: Id) -> Option<i64> {
        match self.value(of) {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self, of: Id) -> Option<&'a [u8]> {
        match self.value(of) {
            Value::Bytes { start, length } => Some(&self.bytes[*start..start + length]),
            _ => None,
        }
    }

    /// The rows of a NumPy matrix of bytes with that many columns, in the order of rows.
    pub(crate) fn byte_matrix(&self, of: Id, columns: usize) -> Option<&'a [u8]> {
        let Value::Object { name: Known::Reconstruct, state: Some(state), .. } = self.value(of) else {
            return None;
        };
        let [_, shape, dtype, by_columns, data] = *self.sequence(*state)? else { return None };
        let Value::Object { name: Known::Dtype, arguments, .. } = self.value(dtype) else { return None };
        let kind = self.bytes(*self.sequence(*arguments)?.first()?)?;
        let [rows, found] = *self.sequence(shape)? else { return None };
        let data = self.bytes(data)?;
        let rows = usize::try_from(self.integer(rows)?).ok()?;
        let fits = matches!(kind, b"u1" | b"|u1")
            && matches!(self.value(by_columns), Value::Truth(false) | Value::Integer(0))
            && self.integer(found) == i64::try_from(columns).ok()
            && rows.checked_mul(columns) == Some(data.len());
        fits.then_some(data)
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id as usize]
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, PickleFault> {
        for _ in 0..INSTRUCTIONS {
            let start = self.position;
            let code = self.take(1)?[0];
            if code == b'.' {
                let root = self.stack.pop().ok_or(PickleFault::Inconsistent { position: start })?;
                return Ok(Pickle { bytes: self.bytes, values: self.values, root });
            }
            let inconsistent = PickleFault::Inconsistent { position: start };
            if self.values_instruction(code)? || self.stack_instruction(code)?.ok_or(inconsistent)? {
                continue;
            }
            return Err(PickleFault::UnknownInstruction { code, position: start });
        }
        Err(PickleFault::TooLong { limit: INSTRUCTIONS })
    }

    /// Instructions that only push a value; `false` for another.
    fn values_instruction(&mut self, code: u8) -> Result<bool, PickleFault> {
        let value = match code {
            b'N' => Value::Nothing,
            0x88 => Value::Truth(true),
            0x89 => Value::Truth(false),
            b')' | b']' => Value::Sequence(Vec::new()),
            b'}' => Value::Dictionary(Vec::new()),
            b'K' => Value::Integer(self.number(1)? as i64),
            b'M' => Value::Integer(self.number(2)? as i64),
            b'J' => Value::Integer(i64::from(self.number(4)? as u32 as i32)),
            b'U' | b'C' | 0x8c => self.text(1)?,
            b'T' | b'B' | b'X' => self.text(4)?,
            0x8d | 0x8e => self.text(8)?,
            b'c' => Value::Name(Known::named(self.line()?, self.line()?)?),
            _ => return Ok(false),
        };
        self.push(value);
        Ok(true)
    }

    /// Instructions that work on the stack: `None` where it has not what they need, `Some(false)` for an unknown one.
    fn stack_instruction(&mut self, code: u8) -> Result<Option<bool>, PickleFault> {
        let done = match code {
            // Version and frame: nothing to do.
            0x80 => self.take(1).map(|_| Some(()))?,
            0x95 => self.take(8).map(|_| Some(()))?,
            b'(' => {
                self.marks.push(self.stack.len());
                Some(())
            }
            b'q' => {
                let index = self.number(1)? as u32;
                self.memoize(index)
            }
            b'r' => {
                let index = self.number(4)? as u32;
                self.memoize(index)
            }
            0x94 => self.memoize(self.memo.len() as u32),
            b'h' => {
                let index = self.number(1)? as u32;
                self.recall(index)
            }
            b'j' => {
                let index = self.number(4)? as u32;
                self.recall(index)
            }
            0x93 => {
                let names = self.stack.pop().zip(self.stack.pop());
                let names = names.and_then(|(name, module)| self.bytes_of(module).zip(self.bytes_of(name)));
                match names {
                    Some((module, name)) => {
                        let name = Known::named(module, name)?;
                        self.push(Value::Name(name));
                        Some(())
                    }
                    None => None,
                }
            }
            b'0' => self.stack.pop().map(|_| ()),
            b't' => self.since_mark().map(|items| self.push(Value::Sequence(items))),
            0x85..=0x87 => self.tuple(usize::from(code - 0x84)),
            b'a' => self.stack.pop().and_then(|item| self.extend(vec![item])),
            b'e' => self.since_mark().and_then(|items| self.extend(items)),
            b's' => self.stack.pop().zip(self.stack.pop()).and_then(|(value, key)| self.set(&[key, value])),
            b'u' => self.since_mark().and_then(|items| self.set(&items)),
            b'R' => self.reduce(),
            b'b' => self.build(),
            _ => return Ok(Some(false)),
        };
        Ok(done.map(|()| true))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len() as Id);
        self.values.push(value);
    }

    fn memoize(&mut self, index: u32) -> Option<()> {
        self.memo.insert(index, *self.stack.last()?);
        Some(())
    }

    fn recall(&mut self, index: u32) -> Option<()> {
        self.stack.push(*self.memo.get(&index)?);
        Some(())
    }

    fn since_mark(&mut self) -> Option<Vec<Id>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len())?;
        Some(self.stack.split_off(mark))
    }

    fn tuple(&mut self, count: usize) -> Option<()> {
        let start = self.stack.len().checked_sub(count)?;
        let items = self.stack.split_off(start);
        self.push(Value::Sequence(items));
        Some(())
    }

    fn extend(&mut self, items: Vec<Id>) -> Option<()> {
        match self.top()? {
            Value::Sequence(list) => list.extend(items),
            _ => return None,
        }
        Some(())
    }

    fn set(&mut self, items: &[Id]) -> Option<()> {
        match self.top()? {
            Value::Dictionary(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return None,
        }
        Some(())
    }

    fn reduce(&mut self) -> Option<()> {
        let (arguments, name) = self.stack.pop().zip(self.stack.pop())?;
        let Value::Name(name) = self.values[name as usize] else { return None };
        self.push(Value::Object { name, arguments, state: None });
        Some(())
    }

    fn build(&mut self) -> Option<()> {
        let given = self.stack.pop()?;
        match self.top()? {
            Value::Object { state, .. } => *state = Some(given),
            _ => return None,
        }
        Some(())
    }

    fn top(&mut self) -> Option<&mut Value> {
        let top = *self.stack.last()?;
        Some(&mut self.values[top as usize])
    }

    fn bytes_of(&self, id: Id) -> Option<&'a [u8]> {
        match self.values[id as usize] {
            Value::Bytes { start, length } => Some(&self.bytes[start..start + length]),
            _ => None,
        }
    }

    fn text(&mut self, width: usize) -> Result<Value, PickleFault> {
        let length = usize::try_from(self.number(width)?).unwrap_or(usize::MAX);
        let start = self.position;
        self.take(length)?;
        Ok(Value::Bytes { start, length })
    }

    fn line(&mut self) -> Result<&'a [u8], PickleFault> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let end = end.ok_or(PickleFault::Truncated { position: self.bytes.len() })?;
        self.position += end + 1;
        Ok(&rest[..end])
    }

    /// An unsigned little-endian number.
    fn number(&mut self, width: usize) -> Result<u64, PickleFault> {
        Ok(self.take(width)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PickleFault> {
        let end = self.position.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(PickleFault::Truncated { position: self.bytes.len() })?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> PickleFault {
        Pickle::parse(bytes).unwrap_err()
    }

    #[test]
    fn reads_a_dictionary_of_text_and_numbers() {
        // {"a": [1, 300, -2], "b": (None, True)}, with memo instructions as Python 2 writes them.
        let bytes = b"\x80\x02}q\x01(U\x01aq\x02]q\x03(K\x01M\x2c\x01J\xfe\xff\xff\xffeU\x01bN\x88\x86u.";
        let pickle = Pickle::parse(bytes).unwrap();
        let list = pickle.sequence(pickle.entry(pickle.root(), "a").unwrap()).unwrap();
        assert_eq!(list.iter().map(|id| pickle.integer(*id).unwrap()).collect::<Vec<_>>(), [1, 300, -2]);
        assert_eq!(pickle.sequence(pickle.entry(pickle.root(), "b").unwrap()).unwrap().len(), 2);
        assert_eq!(pickle.entry(pickle.root(), "c"), None);
    }

    #[test]
    fn refuses_every_name_but_numpys() {
        for (bytes, name) in [
            (&b"cos\nsystem\n(U\x02lstR."[..], "os.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
            (b"cnumpy\nload\n.", "numpy.load"),
            (b"c__builtin__\ngetattr\n.", "__builtin__.getattr"),
        ] {
            assert_eq!(fault(bytes), PickleFault::Refused { name: name.to_owned() });
        }
    }

    #[test]
    fn refuses_what_does_not_end_or_does_not_work() {
        assert_eq!(fault(b""), PickleFault::Truncated { position: 0 });
        assert_eq!(fault(b"T\xff\xff\xff\xffab"), PickleFault::Truncated { position: 7 });
        assert_eq!(fault(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff."), PickleFault::Truncated { position: 10 });
        assert_eq!(fault(b"cnumpy"), PickleFault::Truncated { position: 6 });
        for bytes in
            [&b"."[..], b"t.", b"\x87.", b"NNs.", b"Na.", b"NR.", b"Nb.", b"h\x07.", b"\x93.", b"}(Nu."]
        {
            assert!(matches!(fault(bytes), PickleFault::Inconsistent { .. }), "{bytes:?}");
        }
        // Inside a tuple that ends below where it began.
        assert!(matches!(fault(b"N(0t."), PickleFault::Inconsistent { .. }));
        assert_eq!(fault(b"G"), PickleFault::UnknownInstruction { code: b'G', position: 0 });
        assert_eq!(fault(&[b'N'; INSTRUCTIONS + 1]), PickleFault::TooLong { limit: INSTRUCTIONS });
    }

    #[test]
    fn sharing_costs_no_copies() {
        // Each list holds the one before it twice: 2^200 values if they were copied.
        let mut bytes = b"\x80\x04".to_vec();
        bytes.extend(b"]\x94");
        for level in 0..200u8 {
            bytes.extend([b']', 0x94, b'(', b'h', level, b'h', level, b'e']);
        }
        bytes.push(b'.');
        assert_eq!(Pickle::parse(&bytes).unwrap().values.len(), 201);
    }
}
