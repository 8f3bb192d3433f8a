//! The building blocks of a report: escaped text, tables, and charts as inline SVG.

pub(crate) mod chart;
pub(crate) mod dot_chart;
pub(crate) mod escape;
pub(crate) mod legend;
pub(crate) mod line_style;
pub(crate) mod number;
pub(crate) mod page;
pub(crate) mod table;
pub(crate) mod ticks;
