//! A reader for the few pickles that data sets are published in.
//!
//! It knows the instructions for a dictionary of numbers, text and NumPy arrays, resolves no reference to Python
//! code except the three names that NumPy writes for an array, and calls nothing. Values are kept in one list and
//! refer to each other by index, so that neither nesting nor sharing costs a copy or a recursion.

pub(crate) mod fault;
mod machine;
pub(crate) mod reader;
pub(crate) mod value;
