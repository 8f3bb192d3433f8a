use twins_attack::Norm;

use crate::chart::{Chart, Series};
use crate::epochs::percent;
use crate::error::ReportError;
use crate::html::{Table, paragraph};
use crate::run::ReportRun;

/// Accuracy against the radius, and under each attack.
pub(crate) fn section_of(runs: &[ReportRun]) -> Result<String, ReportError> {
    let mut html = String::new();
    let curves = runs.iter().enumerate().flat_map(|(colour, run)| {
        run.curves.iter().enumerate().map(move |(index, curve)| (colour, index, run, curve))
    });
    if let Some((_, _, _, first)) = curves.clone().next() {
        let (unit, units) = match first.norm {
            Norm::Linf => ("Linf, in 1/255", 255.0),
            Norm::L2 => ("L2, on the [0, 1] scale", 1.0),
            Norm::L1 => ("L1, on the [0, 1] scale", 1.0),
            Norm::L0 => ("L0, changed values", 1.0),
        };
        let series = curves.clone().map(|(colour, index, run, curve)| Series {
            label: format!("{}, {}", run.name, curve.label),
            colour,
            dashed: index > 0,
            points: curve.points.iter().map(|(radius, a)| (radius * units, a.percent())).collect(),
        });
        let images = first.points.first().map_or(0, |point| point.1.total);
        let chart = Chart {
            title: format!("Accuracy against the radius: PGD-{} on {images} test images", first.steps),
            x: format!("epsilon ({unit})"),
            y: "accuracy (%)".to_owned(),
            y_range: Some((0.0, 100.0)),
            series: series.collect(),
            ..Chart::default()
        };
        let mut table = Table::new(
            std::iter::once("epsilon".to_owned())
                .chain(first.points.iter().map(|point| format!("{:.4}", point.0))),
        );
        table.rows = curves
            .map(|(_, _, run, curve)| {
                let accuracies = curve.points.iter().map(|point| percent(point.1));
                std::iter::once(format!("{}, {}", run.name, curve.label)).chain(accuracies).collect()
            })
            .collect();
        html += &format!("<div class=\"charts\">\n{}</div>\n{}", chart.to_html()?, table.to_html());
    }
    html += &attacks(runs);
    Ok(html)
}

/// One row per attack, one column per run.
fn attacks(runs: &[ReportRun]) -> String {
    let runs: Vec<&ReportRun> = runs.iter().filter(|run| !run.attacks.is_empty()).collect();
    let mut names: Vec<&str> = Vec::new();
    for score in runs.iter().flat_map(|run| &run.attacks) {
        if !names.contains(&score.attack.as_str()) {
            names.push(&score.attack);
        }
    }
    if names.is_empty() {
        return String::new();
    }
    let columns = runs.iter().map(|run| run.name.clone());
    let mut table = Table::new(std::iter::once("attack".to_owned()).chain(columns));
    for name in names {
        let cells = runs.iter().map(|run| {
            let score = run.attacks.iter().find(|score| score.attack == name);
            score.map_or_else(
                || "–".to_owned(),
                |score| {
                    let seconds = score.seconds.map_or(String::new(), |seconds| format!(", {seconds:.1} s"));
                    format!("{}{seconds}", score.accuracy)
                },
            )
        });
        table.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    paragraph("Accuracy of the best checkpoint under each attack, on test images that no choice was made on.")
        + &table.to_html()
}
