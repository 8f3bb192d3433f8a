use crate::html::chart::{MOST_DESCRIBED, RIGHT, TOP, WIDTH, spread, text};
use crate::html::escape::escape;
use crate::html::line_style::LineStyle;
use crate::html::number::number;
use crate::html::ticks::linear_ticks;

/// A chart of a few values in each row as inline SVG, whose colours follow the page's light or dark scheme. Each value has a marker. A line
/// connects the lowest with the highest value of a row, and a vertical line is at their mean. A dotted line marks 0.
#[derive(Clone, Debug)]
pub(crate) struct DotChart {
    pub(crate) title: String,
    /// The title of the x axis, with its unit.
    pub(crate) x: String,
    /// The range that the x axis shows at least. It contains 0.
    pub(crate) least_range: [f64; 2],
    pub(crate) rows: Vec<Dots>,
}

/// A row of a [`DotChart`].
#[derive(Clone, Debug)]
pub(crate) struct Dots {
    pub(crate) label: String,
    pub(crate) style: LineStyle,
    pub(crate) values: Vec<f64>,
}

/// The left edge of the plot. Labels are above the values of their row, so that long ones have space.
const LEFT: f64 = 14.0;
const ROW_HEIGHT: f64 = 42.0;

impl DotChart {
    /// The chart as a `<figure>` with its title; empty if there is no value to draw. Rows without values are left out.
    pub(crate) fn to_html(&self) -> String {
        let rows: Vec<&Dots> = self.rows.iter().filter(|row| !row.values.is_empty()).collect();
        let values = rows.iter().flat_map(|row| &row.values).copied();
        match spread(values.chain(self.least_range), 0.03) {
            Some(range) if !rows.is_empty() => self.figure(&rows, range),
            _ => String::new(),
        }
    }

    fn figure(&self, rows: &[&Dots], [low, high]: [f64; 2]) -> String {
        let bottom = TOP + ROW_HEIGHT * rows.len() as f64;
        let height = bottom + 46.0;
        let left = |value: f64| LEFT + (RIGHT - LEFT) * (value - low) / (high - low);
        let vertical = |attributes: &str, x: f64| {
            format!("<line {attributes}x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\n")
        };
        let ticks = linear_ticks([low, high], 8);
        let grid: String = ticks.iter().map(|tick| vertical("", left(*tick))).collect();
        let labels: String =
            ticks.iter().map(|tick| text(left(*tick), bottom + 17.0, "middle", &number(*tick))).collect();
        let tops = (0..).map(|index| TOP + ROW_HEIGHT * f64::from(index));
        let dots: String = rows.iter().zip(tops).map(|(row, top)| row.to_svg(top, left)).collect();
        format!(
            "<figure><figcaption>{}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">\n\
             <g class=\"grid\">\n{grid}</g>\n<path class=\"axis\" d=\"M{LEFT} {bottom}H{RIGHT}\"/>\n\
             {labels}{}{}{dots}</svg>\n</figure>\n",
            escape(&self.title),
            escape(&self.description(rows)),
            text((LEFT + RIGHT) / 2.0, height - 8.0, "middle", &self.x),
            vertical("class=\"mark\" ", left(0.0)),
        )
    }

    /// The alternative text for readers who cannot see the chart: what is drawn, and the values and the mean of each row.
    fn description(&self, rows: &[&Dots]) -> String {
        let mut text = format!("{}. Dot chart of {}.", self.title, self.x);
        for row in rows.iter().take(MOST_DESCRIBED) {
            let values: Vec<String> = row.values.iter().copied().map(two_decimals).collect();
            text += &format!(" {}: {}; mean {}.", row.label, values.join(", "), two_decimals(row.mean()));
        }
        match rows.len().saturating_sub(MOST_DESCRIBED) {
            0 => text,
            more => text + &format!(" And {more} more rows."),
        }
    }
}

impl Dots {
    fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// The row as SVG. `left` places a value on the x axis.
    fn to_svg(&self, top: f64, left: impl Fn(f64) -> f64) -> String {
        let y = top + 29.0;
        let lowest = left(self.values.iter().copied().fold(f64::INFINITY, f64::min));
        let highest = left(self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let mean = left(self.mean());
        let markers: String =
            self.values.iter().map(|value| self.style.marker(left(*value), y) + "\n").collect();
        format!(
            "{}<line x1=\"{lowest:.1}\" y1=\"{y}\" x2=\"{highest:.1}\" y2=\"{y}\" {}/>\n\
             <line class=\"mean\" x1=\"{mean:.1}\" y1=\"{}\" x2=\"{mean:.1}\" y2=\"{}\"/>\n{markers}",
            text(LEFT + 4.0, top + 16.0, "start", &self.label),
            self.style.stroke(),
            y - 9.0,
            y + 9.0,
        )
    }
}

/// Formats a value with two decimals. A rounding error in place of 0 has no sign.
fn two_decimals(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(rows: &[(&str, &[f64])]) -> DotChart {
        let rows = rows.iter().enumerate().map(|(index, (label, values))| Dots {
            label: (*label).to_owned(),
            style: LineStyle::new(index),
            values: values.to_vec(),
        });
        DotChart {
            title: "best − last of <b>".into(),
            x: "points".into(),
            least_range: [-1.0, 1.0],
            rows: rows.collect(),
        }
    }

    #[test]
    fn values_are_placed_by_hand_computed_coordinates() {
        let html = chart(&[("at", &[0.0, 1.0])]).to_html();
        // The range is -1.06 to 1.06. Its 2.12 have the 532 units between 14 and 546: 0 is in the middle, 1 at 14 + 532 · 2.06 / 2.12, and the
        // mean 0.5 at 14 + 532 · 1.56 / 2.12.
        for part in [
            "viewBox=\"0 0 560 102\"",
            "<line class=\"mark\" x1=\"280.0\" y1=\"14\" x2=\"280.0\" y2=\"56\"/>",
            "<line x1=\"280.0\" y1=\"43\" x2=\"530.9\" y2=\"43\" ",
            "<circle cx=\"280.0\" cy=\"43.0\"",
            "<circle cx=\"530.9\" cy=\"43.0\"",
            "<line class=\"mean\" x1=\"405.5\" y1=\"34\" x2=\"405.5\" y2=\"52\"/>",
            ">points</text>",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn rows_differ_without_colours_and_have_an_alternative_text() {
        let html = chart(&[("a < b", &[0.5, -1.25]), ("none", &[]), ("c", &[3.0])]).to_html();
        for part in [
            ">a &lt; b</text>",
            "var(--c0)",
            "var(--c2)",
            "<circle ",
            // The marker and the dashes of the third style.
            "l4.5 8h-9z",
            "stroke-dasharray=\"2 4\"",
            "role=\"img\" aria-label=\"best − last of &lt;b&gt;. Dot chart of points. a &lt; b: 0.50, -1.25; mean -0.38. c: 3.00; mean 3.00.\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("=\"#") && !html.contains("<b>") && !html.contains("none<"), "{html}");
    }

    #[test]
    fn without_values_there_is_no_chart() {
        assert!(chart(&[]).to_html().is_empty());
        assert!(chart(&[("at", &[])]).to_html().is_empty());
    }

    #[test]
    fn equal_checkpoints_have_an_axis_of_ordinary_numbers() {
        let html = chart(&[("at", &[0.0, -1e-17])]).to_html();
        assert!(html.contains(">-1</text>") && html.contains(">1</text>"), "{html}");
        assert!(html.contains("at: 0.00, 0.00; mean 0.00."), "{html}");
    }

    #[test]
    fn the_alternative_text_of_many_rows_is_short() {
        let row: (&str, &[f64]) = ("at", &[1.0]);
        let html = chart(&[row; 10]).to_html();
        assert_eq!(html.matches("at: 1.00; mean 1.00.").count(), 8, "{html}");
        assert!(html.contains(" And 2 more rows.\""), "{html}");
    }
}
