use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::ReportError;
use crate::html::Table;
use crate::run::ReportRun;
use twins_train::TrainConfig;

/// The settings of every run, one column per run; empty where none has its configuration.
pub(crate) fn table(runs: &[ReportRun]) -> Result<String, ReportError> {
    let runs: Vec<(&ReportRun, &TrainConfig)> =
        runs.iter().filter_map(|run| Some((run, run.config.as_ref()?))).collect();
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, (_, config)) in runs.iter().enumerate() {
        let value = serde_json::to_value(config.effective()?).expect("a configuration is plain data");
        let mut settings = Vec::new();
        flatten("", &value, &mut settings);
        for (key, value) in settings {
            rows.entry(key).or_insert_with(|| vec!["–".to_owned(); runs.len()])[column] = value;
        }
    }
    if rows.is_empty() {
        return Ok(String::new());
    }
    let names = runs.iter().map(|(run, _)| run.name.clone());
    let mut table = Table::new(std::iter::once("setting".to_owned()).chain(names));
    table.rows = rows.into_iter().map(|(key, values)| std::iter::once(key).chain(values).collect()).collect();
    Ok(table.to_html())
}

/// `a.b.c` and its value for every leaf.
fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        Value::String(text) => into.push((path.to_owned(), text.clone())),
        Value::Null => into.push((path.to_owned(), "none".to_owned())),
        other => into.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twins_train::{Method, TrainConfig};

    #[test]
    fn settings_are_listed_by_run() {
        let config = TrainConfig::new(Method::At);
        let runs = [
            ReportRun::new("at", vec![]).with_config(&config),
            ReportRun::new("twins-at", vec![]).with_config(&TrainConfig::new(Method::TwinsAt)),
        ];
        let html = table(&runs).unwrap();
        assert!(html.contains("<td>method</td><td>at</td><td>twins-at</td>"), "{html}");
        assert!(html.contains("<td>adversary.steps</td><td>10</td><td>10</td>"), "{html}");
        let threat = "<td>resolved.validation.threat.norm</td><td>linf</td><td>linf</td>";
        assert!(html.contains(threat), "{html}");
        assert!(table(&[ReportRun::new("none", vec![])]).unwrap().is_empty());
    }
}
