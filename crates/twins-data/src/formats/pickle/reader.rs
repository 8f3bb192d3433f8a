use crate::formats::pickle::fault::PickleFault;
use crate::formats::pickle::machine::Machine;
use crate::formats::pickle::value::{Id, Known, Value};

/// The parsed values of a pickle.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) values: Vec<Value>,
    pub(super) root: Id,
}

impl<'a> Pickle<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, PickleFault> {
        Machine::new(bytes).run()
    }

    pub(crate) fn root(&self) -> Id {
        self.root
    }

    /// The value of a text key, if the value `of` is a dictionary that contains the key.
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

    /// The bytes of a NumPy matrix with that many columns, in row-major order.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::pickle::machine::INSTRUCTIONS;

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
