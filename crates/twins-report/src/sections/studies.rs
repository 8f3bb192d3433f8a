use crate::html::page::paragraph;
use crate::html::table::{Cell, Table};
use crate::study::StudyTable;

/// The tables of studies with their notes.
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
        table.to_html() + &study.notes.iter().map(|note| paragraph(note)).collect::<String>()
    });
    tables.collect()
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
    }
}
