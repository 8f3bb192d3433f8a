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
