use crate::builtin::digits::DIGITS;
use crate::builtin::letters::LETTERS;
use crate::builtin::task::Task;

/// A point of a symbol: x points right and y points down; the symbol is about 1.2 wide and 2 high, centred at the
/// origin.
pub(super) type Point = (f32, f32);

/// One movement of the pen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stroke {
    /// Straight lines from point to point.
    Line(&'static [Point]),
    /// A smooth curve through all points (Catmull-Rom).
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
