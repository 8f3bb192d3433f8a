use std::collections::HashMap;

use crate::formats::pickle::fault::PickleFault;
use crate::formats::pickle::reader::Pickle;
use crate::formats::pickle::value::{Id, Known, Value};

/// CIFAR-100 takes 200 000 instructions. An instruction creates at most one value, one stack entry and one memo entry:
/// about 50 bytes, and twice as many while lists grow.
pub(super) const INSTRUCTIONS: usize = 500_000;

/// Executes the instructions of a pickle on a stack, like Python.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            position: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<Pickle<'a>, PickleFault> {
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

    /// Executes an instruction that only pushes a value; returns `false` for other instructions.
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

    /// Executes an instruction that uses the stack. Returns `None` if the stack lacks its operands, and `Some(false)`
    /// for an unknown instruction.
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
