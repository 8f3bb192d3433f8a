use crate::html::chart::Series;
use crate::html::escape::escape;

/// A legend with the labels of the lines, each next to a sample of its line.
pub(crate) fn legend(series: &[Series]) -> String {
    let entries = series.iter().map(|Series { label, style, .. }| {
        format!(
            "<li><svg class=\"key\" width=\"44\" height=\"12\" viewBox=\"0 0 44 12\" aria-hidden=\"true\">\
             <line x1=\"0\" y1=\"6\" x2=\"44\" y2=\"6\" {}/>{}</svg>{}</li>\n",
            style.stroke(),
            style.marker(22.0, 6.0),
            escape(label)
        )
    });
    format!("<ul class=\"legend\">\n{}</ul>\n", entries.collect::<String>())
}
