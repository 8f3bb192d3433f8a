use twins_files::one_line;

/// Errors in a pickle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleFault {
    /// It ends before its last instruction.
    #[error("it is truncated: byte {position} is missing")]
    Truncated {
        /// The file's size in bytes.
        position: usize,
    },
    /// It contains an instruction that no data set needs.
    #[error("it has the instruction {code:#04x} at byte {position}, which published data sets do not have")]
    UnknownInstruction {
        /// The instruction.
        code: u8,
        /// The position of the instruction.
        position: usize,
    },
    /// It refers to something other than NumPy's arrays.
    #[error(
        "it asks for {}, which images never need: nothing was run, do not trust this file",
        one_line(name)
    )]
    Refused {
        /// The name.
        name: String,
    },
    /// It has more instructions than any data set needs.
    #[error("it takes more than {limit} instructions")]
    TooLong {
        /// The number allowed.
        limit: usize,
    },
    /// An instruction does not find its operands.
    #[error("the instruction at byte {position} does not find the values that it needs")]
    Inconsistent {
        /// The position of the instruction.
        position: usize,
    },
}
