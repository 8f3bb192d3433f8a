//! Scans a pickle's instructions before it is parsed, for the functions it names and the number and size of the objects it builds.
//!
//! `serde-pickle` cannot replace it: it builds the objects, and does not know the persistent identifiers by which PyTorch refers to
//! tensors.

use std::collections::HashMap;
use std::io::{BufRead, Error, ErrorKind, Read};
use std::rc::Rc;

use crate::import::sizes::Sizes;

/// Modules with functions that affect more than the process. Weights never need them; a file that names one is refused,
/// although its code would not be run.
const REFUSED_MODULES: [&str; 19] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "shutil",
    "socket",
    "pty",
    "runpy",
    "importlib",
    "ctypes",
    "webbrowser",
    "commands",
    "code",
    "multiprocessing",
    "asyncio",
    "urllib",
    "pip",
    "signal",
];

/// Built-in functions that run or open what they are given.
const REFUSED_BUILTINS: [&str; 8] =
    ["eval", "exec", "compile", "open", "execfile", "__import__", "input", "breakpoint"];

/// The reason for which a pickle is refused.
#[derive(Debug)]
pub(super) enum Objection {
    /// It names a function that weights never need.
    Refused(String),
    /// It builds too many objects for the file's size.
    TooMany(u64),
    /// It builds objects of more bytes than this.
    TooLarge(u64),
    /// It ends too early.
    Truncated,
}

/// What a file's pickles may take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// The number of instructions of all pickles.
    pub(super) instructions: u64,
    /// The bytes of the objects of one pickle, with the copies in the parser's memo.
    pub(super) bytes: u64,
}

/// The pickle with the tensors among those of PyTorch's legacy format, counted from 0.
const TENSORS: usize = 3;

/// The bytes of the objects of each of the other pickles. They hold a few numbers and the keys of the storages. If one of them is no such
/// value, the parser quotes all of it in its error, with up to six characters for each byte.
const OTHERS: u64 = 2 << 20;

/// Scans consecutive pickles up to the first malformed instruction, which the parser reports later.
pub(super) fn scan(reader: &mut impl BufRead, pickles: usize, limits: Limits) -> Result<(), Objection> {
    let mut scan = Scan { limits, ..Scan::default() };
    for place in 0..pickles {
        let most = if pickles == 1 || place == TENSORS { limits.bytes } else { limits.bytes.min(OTHERS) };
        match scan.pickle(reader, most) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Stop::Objection(objection)) => return Err(objection),
            Err(Stop::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(Objection::Truncated);
            }
            // The next reader reports an unreadable file.
            Err(Stop::Io(_)) => return Ok(()),
        }
    }
    Ok(())
}

enum Stop {
    Io(Error),
    Objection(Objection),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Io(error)
    }
}

/// A recently pushed string, kept because protocol 4 takes names from the stack.
#[derive(Clone, Default)]
enum Pushed {
    #[default]
    Other,
    /// Shared, because the memo may hold the same text any number of times.
    Text(Rc<str>),
}

#[derive(Default)]
struct Scan {
    limits: Limits,
    instructions: u64,
    sizes: Sizes,
    /// The two values pushed last, the newer one second.
    last: [Pushed; 2],
    memo: HashMap<u64, Rc<str>>,
    memoized: u64,
}

/// Names and keys are short; longer strings are data.
const LONGEST_NAME: u64 = 512;

impl Scan {
    /// Scans one pickle to its end, whose objects may take so many bytes; returns `false` at an unknown instruction.
    fn pickle(&mut self, reader: &mut impl BufRead, most: u64) -> Result<bool, Stop> {
        self.memo.clear();
        self.memoized = 0;
        self.sizes = Sizes::default();
        loop {
            if self.sizes.total() > most {
                return Err(Stop::Objection(Objection::TooLarge(most)));
            }
            let code = number(reader, 1)? as u8;
            self.instructions += 1;
            if self.instructions > self.limits.instructions {
                return Err(Stop::Objection(Objection::TooMany(self.limits.instructions)));
            }
            self.sizes.instruction(code);
            match code {
                b'.' => return Ok(true),
                // Mark, stack and container instructions, which have no argument.
                b'('
                | b'0'
                | b'1'
                | b'2'
                | b'N'
                | b'R'
                | b'b'
                | b'd'
                | b'l'
                | b't'
                | b's'
                | b'a'
                | b')'
                | b']'
                | b'}'
                | b'e'
                | b'u'
                | b'Q'
                | 0x81
                | 0x85..=0x89
                | 0x8f..=0x92
                | 0x97
                | 0x98 => {
                    self.push(Pushed::Other);
                }
                b'K' | 0x82 => self.skip_value(reader, 1)?,
                b'M' | 0x83 => self.skip_value(reader, 2)?,
                b'J' | 0x84 => self.skip_value(reader, 4)?,
                b'G' => self.skip_value(reader, 8)?,
                0x80 => skip(reader, 1)?,
                0x95 => skip(reader, 8)?,
                b'I' | b'L' | b'F' | b'P' => {
                    let text = line(reader)?;
                    self.sizes.push(text.len() as u64);
                    self.push(Pushed::Other);
                }
                b'S' | b'V' => {
                    let text = line(reader)?;
                    self.sizes.push(text.len() as u64);
                    self.push(Pushed::Text(text.trim_matches(['\'', '"']).into()));
                }
                b'U' | 0x8c => self.text(reader, 1)?,
                b'T' | b'X' => self.text(reader, 4)?,
                0x8d => self.text(reader, 8)?,
                b'C' | 0x8a => self.bytes(reader, 1)?,
                b'B' | 0x8b => self.bytes(reader, 4)?,
                0x8e | 0x96 => self.bytes(reader, 8)?,
                b'h' => self.recall(reader, 1)?,
                b'j' => self.recall(reader, 4)?,
                b'g' => {
                    let index = line(reader)?.trim().parse().unwrap_or(u64::MAX);
                    self.get(index);
                }
                b'q' => self.memoize(number(reader, 1)?),
                b'r' => self.memoize(number(reader, 4)?),
                b'p' => {
                    let index = line(reader)?.trim().parse().unwrap_or(u64::MAX);
                    self.memoize(index);
                }
                0x94 => self.memoize(self.memoized),
                b'c' | b'i' => {
                    let (module, name) = (line(reader)?, line(reader)?);
                    check(&module, &name)?;
                    self.sizes.push((module.len() + name.len()) as u64);
                    self.push(Pushed::Other);
                }
                0x93 => match std::mem::take(&mut self.last) {
                    [Pushed::Text(module), Pushed::Text(name)] => check(&module, &name)?,
                    // Python writes the two names right before this instruction.
                    _ => {
                        return Err(Stop::Objection(Objection::Refused(
                            "a function whose name it hides".into(),
                        )));
                    }
                },
                _ => return Ok(false),
            }
        }
    }

    fn push(&mut self, value: Pushed) {
        self.last.swap(0, 1);
        self.last[1] = value;
    }

    fn memoize(&mut self, index: u64) {
        self.memoized += 1;
        self.sizes.memoize(index);
        if let Pushed::Text(text) = &self.last[1] {
            self.memo.insert(index, text.clone());
        } else {
            self.memo.remove(&index);
        }
    }

    fn skip_value(&mut self, reader: &mut impl BufRead, width: u64) -> Result<(), Stop> {
        self.sizes.push(0);
        self.push(Pushed::Other);
        Ok(skip(reader, width)?)
    }

    fn recall(&mut self, reader: &mut impl BufRead, width: usize) -> Result<(), Stop> {
        let index = number(reader, width)?;
        self.get(index);
        Ok(())
    }

    fn get(&mut self, index: u64) {
        self.sizes.get(index);
        self.push(self.memo.get(&index).cloned().map_or(Pushed::Other, Pushed::Text));
    }

    fn text(&mut self, reader: &mut impl BufRead, width: usize) -> Result<(), Stop> {
        let length = number(reader, width)?;
        self.sizes.push(length);
        if length > LONGEST_NAME {
            self.push(Pushed::Other);
            return Ok(skip(reader, length)?);
        }
        let mut bytes = vec![0; length as usize];
        reader.read_exact(&mut bytes)?;
        self.push(Pushed::Text(String::from_utf8_lossy(&bytes).into()));
        Ok(())
    }

    fn bytes(&mut self, reader: &mut impl BufRead, width: usize) -> Result<(), Stop> {
        let length = number(reader, width)?;
        self.sizes.push(length);
        self.push(Pushed::Other);
        Ok(skip(reader, length)?)
    }
}

/// An unsigned little-endian number.
fn number(reader: &mut impl BufRead, width: usize) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    reader.read_exact(&mut bytes[..width])?;
    Ok(u64::from_le_bytes(bytes))
}

fn skip(reader: &mut impl BufRead, count: u64) -> Result<(), Error> {
    let skipped = std::io::copy(&mut reader.take(count), &mut std::io::sink())?;
    if skipped == count { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn line(reader: &mut impl BufRead) -> Result<String, Error> {
    let mut bytes = Vec::new();
    // Longer than any name, and than any number that a float or an index has.
    reader.take(1 << 16).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn check(module: &str, name: &str) -> Result<(), Stop> {
    let package = module.split('.').next().unwrap_or_default();
    let refused = match package {
        "builtins" | "__builtin__" => REFUSED_BUILTINS.contains(&name.split('.').next().unwrap_or_default()),
        _ => REFUSED_MODULES.contains(&package),
    };
    if refused { Err(Stop::Objection(Objection::Refused(format!("{module}.{name}")))) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(pickle: &[u8]) -> Option<Objection> {
        scan(&mut &pickle[..], 1, Limits { instructions: 1000, bytes: 1 << 20 }).err()
    }

    fn refused(pickle: &[u8]) -> String {
        match objection(pickle) {
            Some(Objection::Refused(name)) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn functions_are_refused_in_every_protocol() {
        assert_eq!(refused(b"cos\nsystem\n(S'ls'\ntR."), "os.system");
        assert_eq!(refused(b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93."), "posix.system");
        // The module's name from the memo, as Python writes it the second time.
        assert_eq!(refused(b"\x80\x04\x8c\x02os\x940h\x00\x8c\x05popen\x93."), "os.popen");
        assert_eq!(refused(b"(S'ls'\nios\nsystem\n."), "os.system");
        assert_eq!(refused(b"cbuiltins\neval\n."), "builtins.eval");
        assert_eq!(refused(b"cos.path\njoin\n."), "os.path.join");
        assert_eq!(refused(b"NN\x93."), "a function whose name it hides");
    }

    #[test]
    fn a_function_that_is_fetched_and_dropped_is_found_too() {
        assert_eq!(refused(b"cos\nsystem\n0}."), "os.system");
    }

    #[test]
    fn what_checkpoints_need_is_not_refused() {
        for pickle in [
            &b"ctorch._utils\n_rebuild_tensor_v2\n."[..],
            b"ccollections\nOrderedDict\n.",
            b"c__builtin__\nset\n.",
            b"\x80\x04\x8c\x0bdill._dill\x94\x8c\x10_create_function\x94\x93.",
            b"cnumpy.core.multiarray\nscalar\n.",
        ] {
            assert!(objection(pickle).is_none());
        }
    }

    #[test]
    fn too_many_instructions_and_too_few_bytes_are_told() {
        assert!(matches!(objection(&[b'N'; 2000]), Some(Objection::TooMany(1000))));
        assert!(matches!(objection(b"\x80\x02}X\xff\xff\xff\xffab"), Some(Objection::Truncated)));
        assert!(matches!(objection(b""), Some(Objection::Truncated)));
    }

    #[test]
    fn objects_that_are_repeated_are_counted_each_time() {
        // A dictionary whose key has 5000 bytes, and a function's name of 5000 bytes, each fetched some hundred times.
        let key = [&b"}X\x88\x13\0\0"[..], &[b'k'; 5000], b"NsU\x01aq\x000q\x01("].concat();
        let name = [&b"cmodule\n"[..], &[b'n'; 5000], b"\nq\x01("].concat();
        for begin in [key, name] {
            for (times, too_large) in [(100, false), (300, true)] {
                let pickle = [&begin[..], &b"h\x01".repeat(times)[..], b"l."].concat();
                let found = objection(&pickle);
                assert_eq!(matches!(found, Some(Objection::TooLarge(1_048_576))), too_large, "{found:?}");
                assert_eq!(found.is_some(), too_large, "{found:?}");
            }
        }
    }

    #[test]
    fn an_unknown_instruction_is_left_to_the_parser() {
        assert!(objection(b"\x80\x02\xff").is_none());
    }
}
