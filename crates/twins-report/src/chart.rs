use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::ReportError;
use crate::html::escape;

/// A line chart as inline SVG whose colours follow the page's light or dark scheme.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the axes show, with units.
    pub(crate) x: String,
    pub(crate) y: String,
    /// Ends of the y axis; the data's where `None`.
    pub(crate) y_range: Option<(f64, f64)>,
    pub(crate) y_scale: Scale,
    /// Whether only whole numbers are labelled on the x axis.
    pub(crate) whole_x: bool,
    pub(crate) series: Vec<Series>,
    /// Vertical lines.
    pub(crate) markers: Vec<(f64, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Scale {
    #[default]
    Linear,
    Logarithmic,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) label: String,
    /// Number of the colour; they repeat after [`COLOURS`].
    pub(crate) colour: usize,
    pub(crate) dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Colours that the style sheet defines, as `--c0` and so on.
const COLOURS: usize = 6;
const SIZE: (u32, u32) = (560, 320);
const FONT: &str = "sans-serif";
const FONT_SIZE: u32 = 16;

// The SVG backend writes fixed colours; these stand for the style sheet's and are replaced afterwards.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(1, 1, 2);
const MARKER: RGBColor = RGBColor(1, 1, 3);

fn series_colour(index: usize) -> RGBColor {
    RGBColor(1, 2, index as u8)
}

impl Chart {
    /// The chart as a `<figure>` with its title and legend; a sentence where there is nothing to draw.
    ///
    /// # Errors
    ///
    /// [`ReportError::Part`] where the drawing library fails.
    pub(crate) fn to_html(&self) -> Result<String, ReportError> {
        let title = escape(&self.title);
        let Some((x_range, y_range)) = self.ranges() else {
            return Ok(format!("<figure><figcaption>{title}</figcaption><p>No values.</p></figure>\n"));
        };
        let mut svg = String::new();
        self.draw(&mut svg, x_range, y_range)
            .map_err(|problem| ReportError::Part { part: self.title.clone(), problem })?;
        let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
        let figure = format!("<figure><figcaption>{title}</figcaption>\n{}", self.restyle(&svg));
        Ok(figure + &self.legend() + "</figure>\n")
    }

    /// The finite points of a series, on the scale drawn.
    fn points<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + 'a {
        let scaled = move |y: f64| if self.y_scale == Scale::Logarithmic { y.log10() } else { y };
        series
            .points
            .iter()
            .map(move |(x, y)| (*x, scaled(*y)))
            .filter(|(x, y)| x.is_finite() && y.is_finite())
    }

    fn ranges(&self) -> Option<((f64, f64), (f64, f64))> {
        let points: Vec<(f64, f64)> = self.series.iter().flat_map(|series| self.points(series)).collect();
        let x = spread(points.iter().map(|point| point.0), 0.03)?;
        let y = spread(points.iter().map(|point| point.1), 0.05)?;
        Some((x, self.y_range.unwrap_or(y)))
    }

    fn draw(&self, svg: &mut String, x: (f64, f64), y: (f64, f64)) -> Result<(), String> {
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let text = || (FONT, FONT_SIZE).into_font().color(&TEXT);
        let mut chart = ChartBuilder::on(&root)
            .margin(8)
            .margin_right(16)
            .x_label_area_size(42)
            .y_label_area_size(78)
            .build_cartesian_2d(x.0..x.1, y.0..y.1)
            .map_err(|error| error.to_string())?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .x_labels(8)
            .y_labels(8)
            .x_label_formatter(&|value| self.x_label(*value))
            .y_label_formatter(&|value| self.y_label(*value))
            .axis_style(TEXT)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(text())
            .axis_desc_style(text())
            .draw()
            .map_err(|error| error.to_string())?;
        for (row, (at, label)) in self.markers.iter().enumerate() {
            chart
                .draw_series(LineSeries::new([(*at, y.0), (*at, y.1)], MARKER.stroke_width(1)))
                .map_err(|error| error.to_string())?;
            let left = *at > (x.0 + x.1) / 2.0;
            let anchor = Pos::new(if left { HPos::Right } else { HPos::Left }, VPos::Top);
            let height = y.1 - (y.1 - y.0) * 0.07 * row as f64;
            let label = Text::new(format!(" {label} "), (*at, height), text().pos(anchor));
            chart.draw_series([label]).map_err(|error| error.to_string())?;
        }
        for (index, series) in self.series.iter().enumerate() {
            let colour = series_colour(index);
            let points: Vec<(f64, f64)> = self.points(series).collect();
            chart
                .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
                .map_err(|error| error.to_string())?;
            // Dots would cover the line where there are many.
            let dots = points.iter().filter(|_| points.len() <= 80);
            chart
                .draw_series(dots.map(|point| Circle::new(*point, 3, colour.filled())))
                .map_err(|error| error.to_string())?;
        }
        root.present().map_err(|error| error.to_string())
    }

    fn x_label(&self, value: f64) -> String {
        if self.whole_x && (value - value.round()).abs() > 1e-9 {
            return String::new();
        }
        number(value)
    }

    fn y_label(&self, value: f64) -> String {
        match self.y_scale {
            // What is left of a tick at 0 after rounding.
            Scale::Linear if value.abs() < 1e-12 => "0".to_owned(),
            Scale::Linear => number(value),
            // Two digits: ticks are at even distances of the logarithm.
            Scale::Logarithmic => {
                let unit = 10f64.powf(value.floor() - 1.0);
                number((10f64.powf(value) / unit).round() * unit)
            }
        }
    }

    /// Puts the style sheet's colours in the place of the stand-ins.
    fn restyle(&self, svg: &str) -> String {
        let mut svg = svg.replace(" opacity=\"1\"", "");
        let mut replace = |RGBColor(r, g, b): RGBColor, colour: &str, more: &str| {
            let hex = format!("#{r:02X}{g:02X}{b:02X}");
            svg = svg
                .replace(&format!("stroke=\"{hex}\""), &format!("style=\"stroke:{colour}{more}\""))
                .replace(&format!("fill=\"{hex}\""), &format!("style=\"fill:{colour}\""));
        };
        replace(TEXT, "var(--text)", "");
        replace(GRID, "var(--grid)", "");
        replace(MARKER, "var(--text)", ";stroke-dasharray:2 4");
        for (index, series) in self.series.iter().enumerate() {
            let dashes = if series.dashed { ";stroke-dasharray:7 5" } else { "" };
            replace(series_colour(index), &format!("var(--c{})", series.colour % COLOURS), dashes);
        }
        svg
    }

    fn legend(&self) -> String {
        let entries = self.series.iter().map(|series| {
            let line = if series.dashed { "dashed" } else { "solid" };
            format!(
                "<span class=\"key\"><i style=\"border-top:2px {line} var(--c{})\"></i>{}</span>\n",
                series.colour % COLOURS,
                escape(&series.label)
            )
        });
        format!("<div class=\"legend\">\n{}</div>\n", entries.collect::<String>())
    }
}

/// A number as short as it can be told apart from its neighbours on an axis.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let digits = if size >= 100.0 { 0 } else { 4 };
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Smallest and largest value with a margin; never an empty range.
fn spread(values: impl Iterator<Item = f64>, margin: f64) -> Option<(f64, f64)> {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
    if low > high {
        return None;
    }
    let width = match high - low > 1e-12 * low.abs().max(high.abs()) {
        true => margin * (high - low),
        false => (0.1 * high.abs()).max(1e-6),
    };
    Some((low - width, high + width))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart {
        Chart {
            title: "Loss of <b> & co".into(),
            x: "epoch".into(),
            y: "loss (nats)".into(),
            series: vec![Series { label: "a < b".into(), colour: 7, dashed: true, points }],
            ..Chart::default()
        }
    }

    #[test]
    fn a_chart_has_its_labels_and_no_fixed_colour() {
        let html = chart(vec![(1.0, 2.0), (2.0, 1.0)]).to_html().unwrap();
        for part in ["<polyline", "loss (nats)", "a &lt; b", "var(--c1)", "stroke-dasharray:7 5", "</svg>"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("=\"#"), "{html}");
        assert!(!html.contains("<b>"), "{html}");
    }

    #[test]
    fn values_that_cannot_be_drawn_are_left_out() {
        for points in [vec![], vec![(1.0, f64::NAN)]] {
            assert!(chart(points).to_html().unwrap().contains("No values."));
        }
        for points in [vec![(3.0, 5.0)], vec![(1.0, 0.0), (2.0, 0.0)], vec![(1.0, 1e-300), (2.0, 1e300)]] {
            for y_scale in [Scale::Linear, Scale::Logarithmic] {
                let chart = Chart { y_scale, ..chart(points.clone()) };
                assert!(!chart.to_html().unwrap().contains("NaN"));
            }
        }
    }

    #[test]
    fn ticks_of_logarithms_have_two_digits() {
        let chart = Chart { y_scale: Scale::Logarithmic, ..chart(vec![]) };
        let cases = [(-0.4, "0.4"), (0.2, "1.6"), (2.2, "160"), (-3.5, "3.2e-4"), (0.0, "1")];
        for (value, text) in cases {
            assert_eq!(chart.y_label(value), text);
        }
    }

    #[test]
    fn numbers_are_short() {
        let cases =
            [(0.0, "0"), (0.5, "0.5"), (100.0, "100"), (0.00012, "1.2e-4"), (2e7, "2.0e7"), (-0.25, "-0.25")];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
