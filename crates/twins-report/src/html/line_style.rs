/// The style of a line. The lines of a chart differ in dashes and markers as well as in colour, for readers who cannot
/// distinguish the colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineStyle {
    /// The number of the colour.
    pub(crate) colour: usize,
    /// The number of the dashes and of the marker.
    pub(crate) pattern: usize,
}

/// The style sheet defines `--c0` and so on.
const COLOURS: usize = 6;
const DASHES: [&str; 5] = ["", "8 4", "2 4", "12 4 2 4", "5 3 1 3 1 3"];
const MARKERS: usize = 6;

impl LineStyle {
    /// The style with the given number, which determines colour, dashes and marker. The combinations repeat after 30
    /// styles.
    pub(crate) fn new(number: usize) -> Self {
        Self { colour: number, pattern: number }
    }

    /// The colour, as CSS.
    pub(crate) fn colour(self) -> String {
        format!("var(--c{})", self.colour % COLOURS)
    }

    /// The SVG attributes of the line.
    pub(crate) fn stroke(self) -> String {
        let dashes = match DASHES[self.pattern % DASHES.len()] {
            "" => String::new(),
            dashes => format!(" stroke-dasharray=\"{dashes}\""),
        };
        format!("style=\"stroke:{}\" fill=\"none\" stroke-width=\"2\"{dashes}", self.colour())
    }

    /// The marker at a position, as SVG.
    pub(crate) fn marker(self, x: f64, y: f64) -> String {
        let filled = format!("style=\"fill:{}\"", self.colour());
        let lines = format!("style=\"stroke:{}\" stroke-width=\"2\" fill=\"none\"", self.colour());
        match self.pattern % MARKERS {
            0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" {filled}/>"),
            1 => {
                format!("<rect x=\"{:.1}\" y=\"{:.1}\" width=\"7\" height=\"7\" {filled}/>", x - 3.5, y - 3.5)
            }
            2 => format!("<path d=\"M{x:.1} {:.1}l4.5 8h-9z\" {filled}/>", y - 5.0),
            3 => format!("<path d=\"M{x:.1} {:.1}l5 5l-5 5l-5 -5z\" {filled}/>", y - 5.0),
            4 => format!("<path d=\"M{:.1} {:.1}l8 8m0 -8l-8 8\" {lines}/>", x - 4.0, y - 4.0),
            _ => format!("<path d=\"M{:.1} {y:.1}h10m-5 -5v10\" {lines}/>", x - 5.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn thirty_lines_differ_without_their_colours() {
        let looks = |number| {
            let style = LineStyle { colour: 0, pattern: number };
            style.stroke() + &style.marker(0.0, 0.0)
        };
        assert_eq!((0..30).map(looks).collect::<BTreeSet<_>>().len(), 30);
    }
}
