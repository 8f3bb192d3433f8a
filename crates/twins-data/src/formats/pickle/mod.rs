//! A reader for the pickles in which data sets are published.
//!
//! It supports the instructions for a dictionary of numbers, text and NumPy arrays. It resolves no reference to Python
//! code except the three names that NumPy writes for an array, and it calls no code. Values are kept in one list and
//! refer to each other by index, so nested and shared values need neither copies nor recursion.
//!
//! `serde-pickle` cannot replace it: it has no value for NumPy's arrays, and it copies values that are shared. The scanner of weight
//! files in `twins-models` has little in common with this reader: it passes over a stream of any instructions, keeps only names and
//! builds nothing.

pub(crate) mod fault;
mod machine;
pub(crate) mod reader;
pub(crate) mod value;
