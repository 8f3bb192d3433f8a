use twins_attack::{Length, Norm};
use twins_train::Accuracy;

use crate::html::chart::{Chart, Series};
use crate::html::line_style::LineStyle;
use crate::html::page::{paragraph, side_by_side};
use crate::html::table::Table;
use crate::measure::curve::RobustnessCurve;
use crate::record::run_record::RunRecord;
use crate::sections::per_run::percent;

/// The index and name of a run, and one of its curves.
type RunCurve<'a> = (usize, &'a str, &'a RobustnessCurve);

/// Accuracy as a function of the radius: a chart and a table for each norm and number of steps.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let curves = runs
        .iter()
        .enumerate()
        .flat_map(|(place, run)| run.curves.iter().map(move |curve| (place, run.name.as_str(), curve)));
    let mut groups: Vec<Vec<RunCurve<'_>>> = Vec::new();
    for curve in curves.filter(|(_, _, curve)| !curve.points.is_empty()) {
        let same = |group: &&mut Vec<RunCurve<'_>>| {
            (group[0].2.norm, group[0].2.steps) == (curve.2.norm, curve.2.steps)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(curve),
            None => groups.push(vec![curve]),
        }
    }
    if groups.is_empty() {
        return String::new();
    }
    let text = "An image that is misclassified within one radius is misclassified within every larger one, since the larger \
                ball contains the adversarial example: the curve never rises.";
    paragraph(text) + &groups.iter().map(|group| chart_and_table(group)).collect::<String>()
}

fn chart_and_table(curves: &[RunCurve<'_>]) -> String {
    let RobustnessCurve { norm, steps, .. } = curves[0].2;
    let (unit, scale) = match norm {
        Norm::Linf => ("Linf, in 1/255", 255.0),
        Norm::L2 => ("L2, on the [0, 1] scale", 1.0),
        Norm::L1 => ("L1, on the [0, 1] scale", 1.0),
        Norm::L0 => ("L0, changed values", 1.0),
    };
    let images = |curve: &RobustnessCurve| curve.points[0].1.total;
    let first = images(curves[0].2);
    let same = curves.iter().all(|(_, _, curve)| images(curve) == first);
    let label = |name: &str, curve: &RobustnessCurve| {
        let number = if same { String::new() } else { format!(", {} images", images(curve)) };
        format!("{name}, {}{number}", curve.label)
    };
    // The colour identifies the run; dashes and markers distinguish all curves.
    let series = curves.iter().enumerate().map(|(pattern, (colour, name, curve))| Series {
        label: label(name, curve),
        style: LineStyle { colour: *colour, pattern },
        points: curve.points.iter().map(|(radius, a)| (radius * scale, a.percent())).collect(),
    });
    let number = if same { format!("{first} ") } else { String::new() };
    let title = format!("Accuracy against the radius: PGD-{steps} on {number}test images");
    let chart = Chart {
        title: title.clone(),
        x: format!("epsilon ({unit})"),
        y: "accuracy (%)".to_owned(),
        y_range: Some([0.0, 100.0]),
        series: series.collect(),
        ..Chart::default()
    };
    let mut radii: Vec<f64> =
        curves.iter().flat_map(|(_, _, curve)| curve.points.iter().map(|p| p.0)).collect();
    radii.sort_by(f64::total_cmp);
    radii.dedup();
    let columns = radii.iter().map(|radius| format!("{} {}", norm.symbol(), Length::new(*radius)));
    let mut table = Table::of_numbers(title, ["run and checkpoint".to_owned()].into_iter().chain(columns));
    for (_, name, curve) in curves {
        let accuracy = |radius: &f64| -> Option<Accuracy> {
            curve.points.iter().find(|point| point.0 == *radius).map(|point| point.1)
        };
        table.push(label(name, curve), radii.iter().map(|radius| accuracy(radius).map(percent)));
    }
    side_by_side(&chart.to_html()) + &table.to_html()
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    fn run(name: &str, norm: Norm, points: &[(f64, usize)]) -> RunRecord {
        let config = TrainConfig::new(Method::At);
        let mut run = RunRecord::new(name, &config, Provenance::starting_now(0)).unwrap();
        let points =
            points.iter().map(|(radius, correct)| (*radius, Accuracy { correct: *correct, total: 10 }));
        run.curves.push(RobustnessCurve {
            label: "best".to_owned(),
            norm,
            steps: 10,
            points: points.collect(),
        });
        run
    }

    #[test]
    fn radii_of_all_runs_have_columns() {
        let runs = [
            run("at", Norm::Linf, &[(0.0, 9), (8.0 / 255.0, 5)]),
            run("mart", Norm::Linf, &[(0.0, 8), (4.0 / 255.0, 6)]),
        ];
        let html = section_of(&runs);
        for column in ["Linf 0", "Linf 4/255", "Linf 8/255"] {
            assert!(html.contains(&format!("<th scope=\"col\">{column}</th>")), "{html}");
        }
        assert!(html.contains("mart, best</th><td>80.00 %</td><td>60.00 %</td><td>–</td>"), "{html}");
        assert_eq!(html.matches("<figure>").count(), 1);
        assert!(html.contains("at, best: 90 at 0, 50 at 8."), "the alternative text: {html}");
    }

    #[test]
    fn numbers_of_images_that_differ_are_given_with_their_curves() {
        let mut runs = [run("at", Norm::Linf, &[(0.0, 9)]), run("mart", Norm::Linf, &[(0.0, 8)])];
        let html = section_of(&runs);
        assert!(html.contains("PGD-10 on 10 test images") && !html.contains("best, 10 images"), "{html}");
        runs[1].curves[0].points[0].1.total = 50;
        let html = section_of(&runs);
        for part in
            ["PGD-10 on test images", "at, best, 10 images</th>", "mart, best, 50 images</th><td>16.00 %"]
        {
            assert!(html.contains(part), "{part}: {html}");
        }
    }

    #[test]
    fn norms_have_charts_of_their_own() {
        let html = section_of(&[run("at", Norm::Linf, &[(0.0, 9)]), run("l2", Norm::L2, &[(0.5, 5)])]);
        assert_eq!(html.matches("<figure>").count(), 2);
        assert!(section_of(&[]).is_empty());
    }
}
