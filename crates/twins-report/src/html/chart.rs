use crate::html::escape::escape;
use crate::html::legend::legend;
use crate::html::line_style::LineStyle;
use crate::html::number::{number, rounded};
use crate::html::ticks::{Scale, linear_ticks, logarithmic_ticks};

/// A line chart as inline SVG whose colours follow the page's light or dark scheme.
///
/// Plotting crates write fixed colours, so a chart could follow neither the scheme nor the style sheet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// The titles of the axes, with units.
    pub(crate) x: String,
    pub(crate) y: String,
    /// The ends of the y axis; `None` to use the range of the data.
    pub(crate) y_range: Option<[f64; 2]>,
    pub(crate) y_scale: Scale,
    /// Whether only whole numbers are labelled on the x axis.
    pub(crate) whole_x: bool,
    pub(crate) series: Vec<Series>,
    /// Positions of vertical lines, with their labels.
    pub(crate) marks: Vec<(f64, String)>,
}

/// A line of a [`Chart`].
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) label: String,
    pub(crate) style: LineStyle,
    pub(crate) points: Vec<(f64, f64)>,
}

pub(super) const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 320.0;
// The plot's edges.
const LEFT: f64 = 78.0;
pub(super) const RIGHT: f64 = WIDTH - 14.0;
pub(super) const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// The largest number of points for which markers are drawn. With more points, markers would cover the line.
const MOST_MARKERS: usize = 80;
/// The largest number of lines or rows whose values an alternative text contains.
pub(super) const MOST_DESCRIBED: usize = 8;

impl Chart {
    /// The chart as a `<figure>` with its title and legend; empty if there is no value to draw.
    pub(crate) fn to_html(&self) -> String {
        let Some(plot) = Plot::of(self) else { return String::new() };
        let title = escape(&self.title);
        format!(
            "<figure><figcaption>{title}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" \
             aria-label=\"{}\" xmlns=\"http://www.w3.org/2000/svg\">\n{}{}{}</svg>\n{}</figure>\n",
            escape(&self.description()),
            plot.axes(),
            plot.marks(),
            plot.lines(),
            legend(&self.series),
        )
    }

    /// The points of a series that can be drawn. On a logarithmic scale, y is the logarithm of the value.
    fn points<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let scaled = move |y: f64| if self.y_scale == Scale::Logarithmic { y.log10() } else { y };
        let points = series.points.iter().map(move |(x, y)| (*x, scaled(*y)));
        points.filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    /// The alternative text for readers who cannot see the chart: what is drawn, and each line's first, last and
    /// extreme values.
    fn description(&self) -> String {
        let mut text = format!("{}. Line chart of {} against {}.", self.title, self.y, self.x);
        for series in self.series.iter().take(MOST_DESCRIBED) {
            text += &format!(" {}: {}.", series.label, summary(&series.points));
        }
        match self.series.len().saturating_sub(MOST_DESCRIBED) {
            0 => text,
            more => text + &format!(" And {more} more lines."),
        }
    }
}

/// Describes the points of a line in words, such as `12.3 at 1, 34.5 at 10; highest 36 at 8`.
fn summary(points: &[(f64, f64)]) -> String {
    let points: Vec<(f64, f64)> = points.iter().copied().filter(|point| point.1.is_finite()).collect();
    let at = |(x, y): (f64, f64)| format!("{} at {}", rounded(y), number(x));
    let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return "no values".to_owned() };
    if points.len() == 1 {
        return at(first);
    }
    let ends = format!("{}, {}", at(first), at(last));
    let mut inner = Vec::new();
    let extreme = |better: fn(f64, f64) -> bool| {
        points.iter().copied().fold(first, |best, point| if better(point.1, best.1) { point } else { best })
    };
    for (name, point) in [("highest", extreme(|a, b| a > b)), ("lowest", extreme(|a, b| a < b))] {
        if point.1 != first.1 && point.1 != last.1 {
            inner.push(format!("{name} {}", at(point)));
        }
    }
    if inner.is_empty() { ends } else { format!("{ends}; {}", inner.join(", ")) }
}

/// A chart with the ranges of its axes.
struct Plot<'a> {
    chart: &'a Chart,
    x: [f64; 2],
    /// The range of the logarithms if the scale is logarithmic.
    y: [f64; 2],
}

impl<'a> Plot<'a> {
    /// Computes the ranges of the axes; `None` if there is no point.
    fn of(chart: &'a Chart) -> Option<Self> {
        let points: Vec<(f64, f64)> = chart.series.iter().flat_map(|series| chart.points(series)).collect();
        let x = spread(points.iter().map(|point| point.0), 0.03)?;
        let y = spread(points.iter().map(|point| point.1), 0.05)?;
        Some(Self { chart, x, y: chart.y_range.unwrap_or(y) })
    }

    fn left(&self, x: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * (x - self.x[0]) / (self.x[1] - self.x[0])
    }

    fn top(&self, y: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (y - self.y[0]) / (self.y[1] - self.y[0])
    }

    /// Draws the grid, the tick labels and the titles of both axes.
    fn axes(&self) -> String {
        let mut svg = String::from("<g class=\"grid\">\n");
        let mut labels = String::new();
        for tick in linear_ticks(self.x, 8) {
            if self.chart.whole_x && tick.fract() != 0.0 {
                continue;
            }
            let left = self.left(tick);
            svg += &format!("<line x1=\"{left:.1}\" y1=\"{TOP}\" x2=\"{left:.1}\" y2=\"{BOTTOM}\"/>\n");
            labels += &text(left, BOTTOM + 17.0, "middle", &number(tick));
        }
        for (place, tick) in self.y_ticks() {
            let top = self.top(place);
            svg += &format!("<line x1=\"{LEFT}\" y1=\"{top:.1}\" x2=\"{RIGHT}\" y2=\"{top:.1}\"/>\n");
            labels += &text(LEFT - 6.0, top + 4.5, "end", &number(tick));
        }
        svg += &format!(
            "</g>\n<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n{labels}{}",
            text((LEFT + RIGHT) / 2.0, HEIGHT - 8.0, "middle", &self.chart.x)
        );
        let middle = (TOP + BOTTOM) / 2.0;
        svg + &format!(
            "<text x=\"13\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 13 {middle})\">{}</text>\n",
            escape(&self.chart.y)
        )
    }

    /// The positions and values of the ticks of the y axis.
    fn y_ticks(&self) -> Vec<(f64, f64)> {
        match self.chart.y_scale {
            // Rounding errors may leave a small number in place of a tick at 0.
            Scale::Linear => {
                let zeroed =
                    |tick: f64| if tick.abs() < 1e-12 * (self.y[1] - self.y[0]) { 0.0 } else { tick };
                linear_ticks(self.y, 6).into_iter().map(|tick| (tick, zeroed(tick))).collect()
            }
            Scale::Logarithmic => {
                let ticks = logarithmic_ticks(self.y, 6);
                ticks.into_iter().map(|tick| (tick.log10(), tick)).collect()
            }
        }
    }

    fn marks(&self) -> String {
        let marks = self.chart.marks.iter().enumerate().map(|(row, (x, label))| {
            let left = self.left(*x);
            let on_the_left = left > (LEFT + RIGHT) / 2.0;
            let (anchor, shift) = if on_the_left { ("end", -4.0) } else { ("start", 4.0) };
            format!("<line class=\"mark\" x1=\"{left:.1}\" y1=\"{TOP}\" x2=\"{left:.1}\" y2=\"{BOTTOM}\"/>\n")
                + &text(left + shift, TOP + 12.0 + 16.0 * row as f64, anchor, label)
        });
        marks.collect()
    }

    fn lines(&self) -> String {
        let lines = self.chart.series.iter().map(|series| {
            let places: Vec<(f64, f64)> =
                self.chart.points(series).map(|(x, y)| (self.left(x), self.top(y))).collect();
            let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let line = format!("<polyline points=\"{}\" {}/>\n", points.join(" "), series.style.stroke());
            let markers = places.iter().filter(|_| places.len() <= MOST_MARKERS);
            line + &markers.map(|(x, y)| series.style.marker(*x, *y) + "\n").collect::<String>()
        });
        lines.collect()
    }
}

pub(super) fn text(x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escape(content))
}

/// The smallest and the largest value, with a margin. The range is never empty.
pub(super) fn spread(values: impl Iterator<Item = f64>, margin: f64) -> Option<[f64; 2]> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
    if low > high {
        return None;
    }
    let width = if high - low > 1e-12 * low.abs().max(high.abs()) {
        margin * (high - low)
    } else {
        (0.1 * high.abs()).max(1e-6)
    };
    Some([low - width, high + width])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        let style = LineStyle { colour: 7, pattern: 1 };
        Chart {
            title: "Loss of <b> & co".into(),
            x: "epoch".into(),
            y: "loss (nats)".into(),
            series: vec![Series { label: "a < b".into(), style, points }],
            ..Chart::default()
        }
    }

    #[test]
    fn a_chart_has_its_labels_and_no_fixed_colour() {
        let html = chart(vec![(1.0, 2.0), (2.0, 1.0)]).to_html();
        for part in [
            "<polyline points=",
            ">loss (nats)</text>",
            "a &lt; b",
            "var(--c1)",
            "stroke-dasharray=\"8 4\"",
            "role=\"img\" aria-label=\"Loss of &lt;b&gt; &amp; co. Line chart of loss (nats) against epoch. a &lt; b: 2 at 1, 1 at 2.\"",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("=\"#"), "{html}");
        assert!(!html.contains("<b>"), "{html}");
    }

    #[test]
    fn points_are_placed_by_hand_computed_coordinates() {
        let chart = Chart { y_range: Some([0.0, 100.0]), ..chart(vec![(0.0, 0.0), (10.0, 100.0)]) };
        // The x range is -0.3 to 10.3: 0 is 0.3 / 10.6 of the 468 units between 78 and 546.
        let html = chart.to_html();
        assert!(html.contains("points=\"91.2,274.0 532.8,14.0\""), "{html}");
    }

    #[test]
    fn values_that_cannot_be_drawn_are_left_out() {
        for points in [vec![], vec![(1.0, f64::NAN)]] {
            assert!(chart(points).to_html().is_empty());
        }
        for points in [vec![(3.0, 5.0)], vec![(1.0, 0.0), (2.0, 0.0)], vec![(1.0, 1e-300), (2.0, 1e300)]] {
            for y_scale in [Scale::Linear, Scale::Logarithmic] {
                let chart = Chart { y_scale, ..chart(points.clone()) };
                let html = chart.to_html();
                assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
            }
        }
    }

    #[test]
    fn the_description_gives_ends_and_extremes() {
        let points = [(1.0, 12.0), (2.0, 36.04), (3.0, 34.5)];
        assert_eq!(summary(&points), "12 at 1, 34.5 at 3; highest 36 at 2");
        assert_eq!(summary(&points[..1]), "12 at 1");
        assert_eq!(summary(&[(1.0, 3.0), (2.0, 1.0), (3.0, 2.0)]), "3 at 1, 2 at 3; lowest 1 at 2");
        assert_eq!(summary(&[]), "no values");
    }
}
