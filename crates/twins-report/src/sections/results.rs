use twins_attack::wilson_interval;
use twins_train::{Accuracy, BestSource};

use crate::html::page::{notice, paragraph};
use crate::html::table::{Cell, Table};
use crate::record::run_record::{RunRecord, TestedCheckpoint};
use crate::record::score::{Score, ScoreKind};
use crate::record::status::RunStatus;
use crate::sections::per_run::{enumeration, percent};

/// Accuracies on test images with confidence intervals, with a row for each run.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let labels = labels(runs);
    let unfinished: String = runs
        .iter()
        .filter(|run| matches!(run.status, RunStatus::Running | RunStatus::Interrupted))
        .map(|run| notice(&format!("{}: {}.", run.name, run.status_text())))
        .collect();
    if labels.is_empty() {
        return match runs {
            [] => String::new(),
            _ => unfinished + &paragraph("Nothing has been measured on test images yet."),
        };
    }
    let columns = ["run".to_owned()].into_iter().chain(labels.iter().map(|(_, label)| label.clone()));
    let mut table = Table::of_numbers("Accuracy on test images", columns.chain(["checkpoint".to_owned()]));
    for run in runs {
        let cells = |scores: &[Score]| -> Vec<Cell> {
            let cell = |(kind, label): &(ScoreKind, String)| {
                let score = scores.iter().find(|score| (score.kind, &score.label) == (*kind, label));
                score.map_or_else(Cell::missing, cell)
            };
            labels.iter().map(cell).collect()
        };
        let has_last = has_row_of_last(run);
        let checkpoint = match (run.checkpoint, run.best) {
            (Some(TestedCheckpoint::Best), Some(best)) => format!("best, epoch {}", best.epoch),
            (Some(TestedCheckpoint::Best), None) => "best".to_owned(),
            (Some(TestedCheckpoint::Averaged), _) => {
                format!("averaged weights, epoch {}", run.finished_epochs)
            }
            (Some(TestedCheckpoint::Last), _) => format!("last, epoch {}", run.finished_epochs),
            (None, _) => "none tested".to_owned(),
        };
        let checkpoint = Cell::with_details(checkpoint, vec![run.status_text()]);
        table.push(&run.name, cells(&run.scores).into_iter().chain([checkpoint]));
        if has_last {
            let checkpoint = Cell::from(format!("last, epoch {}", run.finished_epochs));
            table.push(
                format!("{} (last)", run.name),
                cells(&run.last_scores).into_iter().chain([checkpoint]),
            );
        }
    }
    unfinished + &table.to_html() + &warnings(runs) + &explanation(&labels)
}

/// Whether the last checkpoint has a row of its own: if it was measured, and is not the result, whose row shows its accuracies.
fn has_row_of_last(run: &RunRecord) -> bool {
    let is_result = match run.best {
        Some(best) => best.epoch == run.finished_epochs && best.source == BestSource::Raw,
        None => run.checkpoint != Some(TestedCheckpoint::Averaged),
    };
    !is_result && !run.last_scores.is_empty()
}

/// The warnings about the scores of each run.
fn warnings(runs: &[RunRecord]) -> String {
    let of_run = |run: &RunRecord| -> Vec<String> {
        let last = run.last_scores.iter().filter(|_| has_row_of_last(run)).map(|score| (" (last)", score));
        let scores = run.scores.iter().map(|score| ("", score));
        scores
            .chain(last)
            .flat_map(|(which, score)| {
                let place = format!("{}{which}, {}", run.name, score.label);
                score.warnings.iter().map(move |warning| notice(&format!("{place}: {warning}.")))
            })
            .collect()
    };
    runs.iter().flat_map(of_run).collect()
}

/// The columns: all scores that any run has, from clean accuracy to AutoAttack. Scores of the same kind are in the
/// order of the runs.
fn labels(runs: &[RunRecord]) -> Vec<(ScoreKind, String)> {
    let mut labels: Vec<(ScoreKind, String)> = Vec::new();
    for Score { kind, label, .. } in runs.iter().flat_map(|run| &run.scores) {
        if !labels.iter().any(|known| (known.0, &known.1) == (*kind, label)) {
            labels.push((*kind, label.clone()));
        }
    }
    labels.sort_by_key(|(kind, _)| *kind);
    labels
}

fn cell(score: &Score) -> Cell {
    let Accuracy { correct, total } = score.accuracy;
    if total == 0 {
        return Cell::missing();
    }
    let [low, high] = wilson_interval(correct, total).map(|end| 100.0 * end);
    let details = vec![format!("{low:.1} to {high:.1}"), format!("{correct} of {total}")];
    Cell::with_details(percent(score.accuracy), details)
}

fn explanation(labels: &[(ScoreKind, String)]) -> String {
    let of_kind = |wanted: ScoreKind| -> Vec<&str> {
        labels.iter().filter(|(kind, _)| *kind == wanted).map(|(_, label)| label.as_str()).collect()
    };
    let mut text = "Below each accuracy: its 95 % confidence interval in per cent, and the number of correct images. The \
                    intervals are Wilson score intervals (Wilson, JASA 1927; recommended by Brown, Cai and DasGupta, \
                    Statistical Science 2001). They cover the choice of the test images, but not the variation between \
                    trainings with different seeds."
        .to_owned();
    let last_iterates = of_kind(ScoreKind::LastIterate);
    if !last_iterates.is_empty() {
        text += &format!(" {}: on the last iterate of the attack.", enumeration(&last_iterates));
    }
    let attacks = of_kind(ScoreKind::Attack);
    if !attacks.is_empty() {
        text += &format!(
            " {}: an image counts as correct unless the attack finds an adversarial example.",
            enumeration(&attacks)
        );
    }
    paragraph(&text)
}

#[cfg(test)]
mod tests {
    use twins_train::{Best, Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    fn run(name: &str, scores: &[(&str, ScoreKind, usize, usize)]) -> RunRecord {
        let config = TrainConfig::new(Method::At).with_epochs(10);
        let mut run = RunRecord::new(name, &config, Provenance::starting_now(0)).unwrap();
        run.status = RunStatus::Completed;
        run.scores = scores
            .iter()
            .map(|(label, kind, correct, total)| {
                Score::new(*label, *kind, Accuracy { correct: *correct, total: *total })
            })
            .collect();
        run
    }

    #[test]
    fn intervals_are_wilson_s() {
        // Brown, Cai and DasGupta (2001), section 3.1.1, with z = 1.96. For 8 of 10:
        // (0.8 + 0.19208 ± 1.96 sqrt(0.8 · 0.2 / 10 + 0.009604)) / 1.38416 = (0.99208 ± 0.31362) / 1.38416.
        let [low, high] = wilson_interval(8, 10);
        // Half of the last digit, and what z has behind 1.96.
        assert!((low - 0.49016).abs() < 1e-5 && (high - 0.94332).abs() < 1e-5, "{low} {high}");
        // None of 10: from 0 to z² / (10 + z²) = 3.8416 / 13.8416.
        let [low, high] = wilson_interval(0, 10);
        assert!(low.abs() < 1e-12 && (high - 0.27754).abs() < 1e-5, "{low} {high}");
        let html = section_of(&[run("at", &[("clean", ScoreKind::Clean, 8, 10)])]);
        assert!(
            html.contains("<td>80.00 %<br/><small>49.0 to 94.3</small><br/><small>8 of 10</small></td>"),
            "{html}"
        );
    }

    #[test]
    fn columns_go_from_clean_to_autoattack() {
        use ScoreKind::{Attack, AutoAttack, Clean, LastIterate};
        let runs = [
            run("at", &[("AA", AutoAttack, 3, 10), ("FGSM", Attack, 5, 10), ("clean", Clean, 9, 10)]),
            run("trades", &[("clean", Clean, 8, 10), ("PGD-20", LastIterate, 4, 10)]),
        ];
        let html = section_of(&runs);
        let places: Vec<usize> = ["clean", "PGD-20", "FGSM", "AA", "checkpoint"]
            .map(|label| html.find(&format!("<th scope=\"col\">{label}</th>")).unwrap())
            .to_vec();
        assert!(places.is_sorted(), "{html}");
        let row = html.lines().find(|line| line.contains("<th scope=\"row\">trades</th>")).unwrap();
        assert_eq!(row.matches("<td>–</td>").count(), 2, "FGSM and AA: {row}");
    }

    #[test]
    fn the_last_checkpoint_has_a_row_of_its_own_where_it_is_not_the_best() {
        let accuracy = |correct| Accuracy { correct, total: 10 };
        let mut run = run("at", &[("clean", ScoreKind::Clean, 7, 10), ("AA", ScoreKind::AutoAttack, 3, 10)]);
        run.finished_epochs = 5;
        run.last_scores = vec![Score::new("clean", ScoreKind::Clean, accuracy(9))];
        let best = |epoch, source| Some(Best { epoch, source, clean: accuracy(7), robust: accuracy(5) });
        for (epoch, source, rows) in
            [(5, BestSource::Raw, 0), (5, BestSource::Ema, 1), (2, BestSource::Raw, 1)]
        {
            run.best = best(epoch, source);
            let html = section_of(&[run.clone()]);
            assert_eq!(html.matches("<th scope=\"row\">at (last)</th><td>90.00 %").count(), rows, "{html}");
            assert_eq!(html.matches("last, epoch 5").count(), rows, "{html}");
        }
        // Without validation, the result is the average of the weights, or the last checkpoint itself.
        (run.best, run.checkpoint) = (None, Some(TestedCheckpoint::Averaged));
        let html = section_of(&[run.clone()]);
        assert!(html.contains("averaged weights, epoch 5"), "{html}");
        assert_eq!(html.matches("<th scope=\"row\">at (last)</th><td>90.00 %").count(), 1, "{html}");
        assert_eq!(html.matches("last, epoch 5").count(), 1, "{html}");
        run.checkpoint = Some(TestedCheckpoint::Last);
        let html = section_of(&[run]);
        assert!(html.contains("last, epoch 5") && !html.contains("at (last)"), "{html}");
    }

    #[test]
    fn the_warnings_of_a_score_are_below_the_table() {
        let mut run = run("at", &[("clean", ScoreKind::Clean, 7, 10), ("AA", ScoreKind::AutoAttack, 3, 10)]);
        run.scores[1] = run.scores[1].clone().with_warnings(["gradients < masked".to_owned()]);
        let html = section_of(&[run]);
        assert!(html.contains("<p class=\"notice\">at, AA: gradients &lt; masked.</p>"), "{html}");
    }

    #[test]
    fn warnings_of_the_last_checkpoint_are_given_where_it_has_a_row() {
        let accuracy = Accuracy { correct: 5, total: 10 };
        let mut run = run("at", &[("AA", ScoreKind::AutoAttack, 3, 10)]);
        run.scores[0] = run.scores[0].clone().with_warnings(["masked".to_owned()]);
        run.last_scores = run.scores.clone();
        run.finished_epochs = 5;
        for (epoch, count) in [(5, 1), (2, 2)] {
            run.best = Some(Best { epoch, source: BestSource::Raw, clean: accuracy, robust: accuracy });
            let html = section_of(&[run.clone()]);
            assert_eq!(html.matches("AA: masked.").count(), count, "{html}");
            assert_eq!(html.matches("at (last), AA: masked.").count(), count - 1, "{html}");
        }
    }

    #[test]
    fn an_interrupted_run_says_so_first() {
        let mut interrupted = run("twins-at", &[]);
        (interrupted.status, interrupted.finished_epochs) = (RunStatus::Interrupted, 3);
        let html = section_of(&[interrupted]);
        assert!(
            html.starts_with("<p class=\"notice\">twins-at: interrupted after epoch 3 of 10.</p>"),
            "{html}"
        );
        assert!(html.contains("Nothing has been measured"), "{html}");
        assert!(section_of(&[]).is_empty());
    }

    #[test]
    fn no_images_have_no_accuracy() {
        assert_eq!(cell(&Score::new("x", ScoreKind::Clean, Accuracy::default())), Cell::missing());
    }
}
