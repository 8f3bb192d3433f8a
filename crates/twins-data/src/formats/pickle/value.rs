use crate::formats::pickle::fault::PickleFault;

/// The number of a value.
pub(crate) type Id = u32;

/// A NumPy name that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Reconstruct,
    Array,
    Dtype,
}

impl Known {
    pub(super) fn named(module: &[u8], name: &[u8]) -> Result<Self, PickleFault> {
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
pub(super) enum Value {
    Nothing,
    Truth(bool),
    Integer(i64),
    /// Text or bytes, by their position in the file.
    Bytes {
        start: usize,
        length: usize,
    },
    /// A list or a tuple.
    Sequence(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Name(Known),
    /// A call of a name: its arguments, and the state that was set.
    Object {
        name: Known,
        arguments: Id,
        state: Option<Id>,
    },
}
