use crate::html::table::Table;
use crate::record::provenance::Provenance;
use crate::record::run_record::RunRecord;
use crate::sections::facts::shared;

/// The information that is needed to repeat the runs.
pub(crate) fn section_of(runs: &[RunRecord]) -> String {
    type Field = (&'static str, fn(&Provenance) -> String);
    let fields: [Field; 6] = [
        ("version of burn-twins", |provenance| provenance.version.clone()),
        ("device", |provenance| provenance.devices.join(", ")),
        ("started", Provenance::start_date),
        ("duration", |provenance| duration(provenance.seconds)),
        ("seed", |provenance| provenance.seed.to_string()),
        ("command", |provenance| provenance.command.clone()),
    ];
    let names = runs.iter().map(|run| run.name.as_str());
    let mut table = Table::of_texts("Where the runs come from", ["run"].into_iter().chain(names));
    if runs.is_empty() {
        return String::new();
    }
    for (label, field) in fields {
        let value = |run: &RunRecord| Some(field(&run.provenance)).filter(|value| !value.is_empty());
        table.push(label, shared(runs.iter().map(value).collect()));
    }
    table.to_html()
}

/// Formats a number of seconds in words.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_words() {
        for (seconds, text) in
            [(3.21, "3.2 s"), (59.7, "1 min 0 s"), (61.0, "1 min 1 s"), (7_330.0, "2 h 2 min")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
