//! Parts of a study file with the other lines left empty, so that errors name the right line where a key is in several parts.

use serde_json::Value;

/// The text of the table `[experiment]`; the whole text where it is not under a heading of its own.
pub(super) fn of_experiment(text: &str) -> String {
    let part = only(text, |heading, _| heading == Heading::Experiment);
    match value(&part)
        .is_some_and(|part| value(text).is_some_and(|whole| part["experiment"] == whole["experiment"]))
    {
        true => part,
        false => text.to_owned(),
    }
}

/// The text of an arm and the arm's place in it; the whole text where the arm is not under a heading `[[arms]]`.
pub(super) fn of_arm(text: &str, index: usize) -> (String, usize) {
    let part = only(text, |heading, arms| heading == Heading::Arm && arms == index + 1);
    match value(&part)
        .is_some_and(|part| value(text).is_some_and(|whole| part["arms"][0] == whole["arms"][index]))
    {
        true => (part, 0),
        false => (text.to_owned(), index),
    }
}

fn value(text: &str) -> Option<Value> {
    toml::from_str(text).ok()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heading {
    Experiment,
    Arm,
    Other,
}

/// The text with the lines emptied that are not wanted, given the heading that they are under and the number of arms up to them.
fn only(text: &str, wanted: impl Fn(Heading, usize) -> bool) -> String {
    let (mut heading, mut arms) = (Heading::Other, 0);
    let lines = text.lines().map(|line| {
        let code = line.split('#').next().unwrap_or_default().trim();
        let bare = |open, close| code.strip_prefix(open)?.strip_suffix(close).map(str::trim);
        if let Some(list) = bare("[[", "]]") {
            heading = if list == "arms" { Heading::Arm } else { Heading::Other };
            arms += usize::from(list == "arms");
        } else if let Some(table) = bare("[", "]") {
            heading = match table.split('.').next().unwrap_or_default().trim() {
                "experiment" => Heading::Experiment,
                "arms" => Heading::Arm,
                _ => Heading::Other,
            };
        }
        if wanted(heading, arms) { line } else { "" }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_lines() {
        let text = "seeds = [0]\n[[arms]]\nname = \"a\"\n[experiment] # shared\nepochs = 1\n[[ arms ]]\nname = \"b\"\n[arms.data]\nx = 1\n[other]\n";
        assert_eq!(of_experiment(text), "\n\n\n[experiment] # shared\nepochs = 1\n\n\n\n\n");
        assert_eq!(of_arm(text, 0), ("\n[[arms]]\nname = \"a\"\n\n\n\n\n\n\n".to_owned(), 0));
        assert_eq!(
            of_arm(text, 1),
            ("\n\n\n\n\n[[ arms ]]\nname = \"b\"\n[arms.data]\nx = 1\n".to_owned(), 0)
        );
    }

    #[test]
    fn a_file_in_another_form_is_left_whole() {
        for text in [
            "experiment = { epochs = 1 }\narms = [{ name = \"a\" }, { name = \"b\" }]",
            "experiment.epochs = 1\n[[\"arms\"]]\nname = \"a\"\n[[\"arms\"]]\nname = \"b\"",
        ] {
            assert_eq!(of_experiment(text), text);
            assert_eq!(of_arm(text, 1), (text.to_owned(), 1));
        }
    }
}
