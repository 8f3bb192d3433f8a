use crate::html::page::details;
use crate::html::table::{Cell, Table};
use crate::record::run_record::RunRecord;
use crate::record::setting::Setting;
use crate::sections::facts::shared;

/// The settings that differ from the default or between the runs. All others are shown on a click.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    let runs: Vec<&RunRecord> = runs.iter().filter(|run| !run.settings.is_empty()).collect();
    if runs.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> =
        runs.iter().flat_map(|run| &run.settings).map(|setting| setting.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let columns = ["setting", "default"].into_iter().chain(runs.iter().map(|run| run.name.as_str()));
    let mut changed =
        Table::of_texts("Settings that are not the default, or differ between the runs", columns.clone());
    let mut others = Table::of_texts("Settings with their default values", columns);
    for name in names {
        let settings: Vec<Option<&Setting>> =
            runs.iter().map(|run| run.settings.iter().find(|setting| setting.name == name)).collect();
        let value = |setting: &Option<&Setting>| setting.map(|setting| setting.value.clone());
        let values: Vec<Option<String>> = settings.iter().map(value).collect();
        // Defaults may depend on the method. In that case, there is no common default for all runs.
        let mut defaults = settings.iter().flatten().map(|setting| setting.default.clone());
        let default =
            defaults.next().flatten().filter(|first| defaults.all(|other| other.as_ref() == Some(first)));
        let differs = settings.iter().flatten().any(|setting| setting.differs())
            || values.iter().any(|value| *value != values[0]);
        let table = if differs { &mut changed } else { &mut others };
        table.push(name, std::iter::once(Cell::from(default)).chain(shared(values)));
    }
    let others =
        if others.is_empty() { String::new() } else { details("All other settings", &others.to_html()) };
    changed.to_html() + &others
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    #[test]
    fn changed_settings_come_first_with_their_defaults() {
        let run = |method: Method, steps| {
            let mut config = TrainConfig::new(method).with_epochs(4);
            config.adversary.steps = steps;
            RunRecord::new(method.name(), &config, Provenance::starting_now(0)).unwrap()
        };
        let html = section_of(&[run(Method::At, 10), run(Method::TwinsAt, 7)]);
        let (changed, others) = html.split_once("<details>").unwrap();
        for row in [
            "<th scope=\"row\">adversary.steps</th><td>10</td><td>10</td><td>7</td>",
            "<th scope=\"row\">epochs</th><td>60</td><td colspan=\"2\">4</td>",
            "<th scope=\"row\">method</th><td>–</td><td>at</td><td>twins-at</td>",
        ] {
            assert!(changed.contains(row), "{row}: {changed}");
        }
        assert!(
            others.contains(
                "<th scope=\"row\">adversary.epsilon</th><td>8/255</td><td colspan=\"2\">8/255</td>"
            )
        );
        assert!(section_of(&[]).is_empty());
    }
}
