use crate::builtin::digits::DIGITS;
use crate::builtin::letters::LETTERS;
use crate::builtin::task::Task;

/// A point of a symbol: x to the right and y down, the symbol about 1.2 wide and 2 high around the origin.
pub(super) type Point = (f32, f32);

/// One movement of the pen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stroke {
    /// Straight from point to point.
    Line(&'static [Point]),
    /// Smoothly through all points (Catmull-Rom).
    Curve(&'static [Point]),
}

/// The strokes of one way to write a symbol.
pub(super) type Glyph = &'static [Stroke];

/// The symbols of a task and the ways to write each.
pub(super) fn symbols(task: Task) -> &'static [(&'static str, &'static [Glyph])] {
    match task {
        Task::Source => LETTERS,
        Task::Target => DIGITS,
    }
}
