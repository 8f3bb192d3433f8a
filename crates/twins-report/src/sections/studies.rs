use crate::html::dot_chart::{DotChart, Dots};
use crate::html::line_style::LineStyle;
use crate::html::page::{paragraph, side_by_side};
use crate::html::table::{Cell, Table};
use crate::study::{StudyGaps, StudyTable};

/// The tables of studies with their notes and the charts of gaps.
pub(crate) fn section_of(studies: &[StudyTable]) -> String {
    let tables = studies.iter().map(|study| {
        let columns = study.columns.iter().map(|column| column.heading.as_str());
        let mut table = Table::of_numbers(study.caption.as_str(), ["arm"].into_iter().chain(columns));
        for row in &study.rows {
            let cells = row.cells.iter().zip(&study.columns).map(|(cell, column)| {
                let (text, detail) = cell.texts(column.decimals);
                Cell::with_details(text, if detail.is_empty() { Vec::new() } else { vec![detail] })
            });
            table.push(row.name.as_str(), cells);
        }
        let notes: String = study.notes.iter().map(|note| paragraph(note)).collect();
        table.to_html() + &notes + &charts(&study.gaps)
    });
    tables.collect()
}

fn charts(gaps: &[StudyGaps]) -> String {
    let charts: String = gaps.iter().map(|gaps| chart(gaps).to_html()).collect();
    if charts.is_empty() {
        return charts;
    }
    let text = "Each marker is a run, and the vertical line is the mean of the arm. To the right of 0, the best \
                checkpoint is better than the last.";
    paragraph(text) + &side_by_side(&charts)
}

fn chart(gaps: &StudyGaps) -> DotChart {
    let rows = gaps.arms.iter().enumerate().map(|(index, (arm, values))| Dots {
        label: arm.clone(),
        style: LineStyle::new(index),
        values: values.clone(),
    });
    DotChart {
        title: gaps.title.clone(),
        x: "percentage points".to_owned(),
        // So that small gaps look small.
        least_range: [-1.0, 1.0],
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{StudyCell, StudyColumn};

    #[test]
    fn means_have_their_deviation_and_the_number_of_runs() {
        let mut study = StudyTable::new("Accuracy", [StudyColumn::new("clean (%)", 2)]).with_note("a < b");
        study.push("at", vec![StudyCell::Mean { mean: 81.25, deviation: Some(0.4), count: 3 }]);
        let html = section_of(&[study]);
        assert!(html.contains("at</th><td>81.25 ± 0.40<br/><small>3 runs</small></td>"), "{html}");
        assert!(html.contains("<p>a &lt; b</p>"), "{html}");
        assert!(!html.contains("<svg"), "no gaps: {html}");
    }

    #[test]
    fn gaps_are_drawn_below_their_table() {
        let gaps = |title: &str, values: [&[f64]; 2]| {
            let arms = ["at", "twins-at"].into_iter().zip(values);
            StudyGaps::new(title, arms.map(|(arm, values)| (arm.to_owned(), values.to_vec())))
        };
        let table = |caption: &str| {
            let mut table = StudyTable::new(caption, [StudyColumn::new("best − last (points)", 2)]);
            table.push("at", vec![StudyCell::Mean { mean: 1.5, deviation: None, count: 2 }]);
            table
        };
        let first = table("First")
            .with_gaps(gaps("best − last: clean", [&[1.0, 2.0], &[-3.0]]))
            .with_gaps(gaps("best − last: PGD", [&[4.0], &[]]))
            .with_gaps(gaps("best − last: AutoAttack", [&[], &[]]));
        let html = section_of(&[first, table("Second")]);
        let (first, second) = html.split_once("<caption>Second").unwrap();
        assert_eq!(first.matches("<figure>").count(), 2, "nothing was measured with AutoAttack: {first}");
        assert!(first.find("</table>").unwrap() < first.find("<figure>").unwrap(), "{first}");
        for part in [
            "best − last: clean. Dot chart of percentage points. at: 1.00, 2.00; mean 1.50. twins-at: -3.00; mean -3.00.",
            "best − last: PGD. Dot chart of percentage points. at: 4.00; mean 4.00.\"",
        ] {
            assert!(first.contains(part), "{part}: {first}");
        }
        assert!(!second.contains("<figure>"), "{second}");
    }
}
