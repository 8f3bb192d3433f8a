use crate::html::table::{Cell, Table};
use crate::record::run_record::RunRecord;

/// The properties of the runs, with a column for each run. A value that all runs share is shown once.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let mut labels: Vec<&str> = Vec::new();
    for fact in runs.iter().flat_map(|run| &run.facts) {
        if !labels.contains(&fact.label.as_str()) {
            labels.push(&fact.label);
        }
    }
    let names = runs.iter().map(|run| run.name.as_str());
    let mut table = Table::of_texts("Data, model and settings of the runs", ["run"].into_iter().chain(names));
    for label in labels {
        let value = |run: &RunRecord| {
            run.facts.iter().find(|fact| fact.label == label).map(|fact| fact.value.clone())
        };
        table.push(label, shared(runs.iter().map(value).collect()));
    }
    table.to_html()
}

/// Returns a cell for each run, or a single cell if all runs have the same value.
pub(crate) fn shared(values: Vec<Option<String>>) -> Vec<Cell> {
    match values.split_first() {
        Some((Some(first), others)) if others.iter().all(|value| value.as_ref() == Some(first)) => {
            vec![Cell::across(first.clone(), values.len())]
        }
        _ => values.into_iter().map(Cell::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_share_is_said_once() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(shared(vec![text("a"), text("a")]), [Cell::across("a", 2)]);
        assert_eq!(shared(vec![text("a"), None]), [Cell::from(text("a")), Cell::missing()]);
        assert_eq!(shared(vec![None, None]), [Cell::missing(), Cell::missing()]);
    }
}
