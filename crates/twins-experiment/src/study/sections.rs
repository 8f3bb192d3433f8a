//! Parts of a study file, in which all other lines are empty, so that errors have the right line number if a key occurs in several parts.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;

/// The text of the table `[experiment]`; the whole text if it has no heading of its own.
pub(super) fn of_experiment(text: &str) -> String {
    let part = only(text, |heading, _| heading == Heading::Experiment);
    match value(&part)
        .is_some_and(|part| value(text).is_some_and(|whole| part["experiment"] == whole["experiment"]))
    {
        true => part,
        false => text.to_owned(),
    }
}

/// The text of an arm and the arm's position in it; the whole text if the arm is not under a heading `[[arms]]`.
pub(super) fn of_arm(text: &str, index: usize) -> (String, usize) {
    let part = only(text, |heading, arms| heading == Heading::Arm && arms == index + 1);
    match value(&part)
        .is_some_and(|part| value(text).is_some_and(|whole| part["arms"][0] == whole["arms"][index]))
    {
        true => (part, 0),
        false => (text.to_owned(), index),
    }
}

/// The part of the file that gives candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Owner {
    /// `[trials]`.
    Trials,
    /// The arm at a position in the list.
    Arm(usize),
}

impl Owner {
    /// For instance `study.toml: [trials]`.
    pub(super) fn describe(self, source: &str) -> String {
        match self {
            Self::Trials => format!("{source}: [trials]"),
            Self::Arm(index) => format!("{source}: arm number {}", index + 1),
        }
    }

    /// The candidates in the parsed value of a file.
    fn candidates(self, file: &Value) -> &Value {
        match self {
            Self::Trials => &file["trials"]["candidates"],
            Self::Arm(index) => &file["arms"][index]["candidates"],
        }
    }
}

/// The text of a single candidate.
pub(super) struct CandidateText {
    text: String,
    /// Its owner and position, if the text is the whole file.
    place: Option<(Owner, usize)>,
}

impl CandidateText {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The candidate in the parsed value of the text.
    pub(super) fn pick(&self, file: &Value) -> Value {
        match self.place {
            Some((owner, index)) => owner.candidates(file)[index].clone(),
            None => file[CANDIDATE].clone(),
        }
    }
}

/// The key that a candidate has in a text of its own.
const CANDIDATE: &str = "candidate";

/// The candidates of an owner in a text, which is parsed once for all of them.
pub(super) struct Candidates<'a> {
    text: &'a str,
    owner: Owner,
    whole: Option<Value>,
    spans: Vec<Range<usize>>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(text: &'a str, owner: Owner) -> Self {
        Self { text, owner, whole: value(text), spans: spans(text, owner).unwrap_or_default() }
    }

    /// The text of a candidate; the whole text if the candidate is not a table in braces.
    pub(super) fn get(&self, index: usize) -> CandidateText {
        let same = |part: &String| {
            let (Some(part), Some(whole)) = (value(part), &self.whole) else { return false };
            part[CANDIDATE] == self.owner.candidates(whole)[index]
        };
        match self.part(index).filter(same) {
            Some(text) => CandidateText { text, place: None },
            None => CandidateText { text: self.text.to_owned(), place: Some((self.owner, index)) },
        }
    }

    /// A text of the candidate alone, in its line.
    fn part(&self, index: usize) -> Option<String> {
        let span = self.spans.get(index)?;
        let before = self.text.get(..span.start)?.matches('\n').count();
        Some(format!("{}{CANDIDATE} = {}", "\n".repeat(before), self.text.get(span.clone())?))
    }
}

/// Where the candidates are in the text.
fn spans(text: &str, owner: Owner) -> Option<Vec<Range<usize>>> {
    #[derive(Deserialize)]
    struct File {
        trials: Option<WithCandidates>,
        #[serde(default)]
        arms: Vec<WithCandidates>,
    }
    #[derive(Deserialize)]
    struct WithCandidates {
        #[serde(default)]
        candidates: Vec<Spanned<toml::Value>>,
    }
    let file: File = toml::from_str(text).ok()?;
    let candidates = match owner {
        Owner::Trials => &file.trials.as_ref()?.candidates,
        Owner::Arm(index) => &file.arms.get(index)?.candidates,
    };
    Some(candidates.iter().map(Spanned::span).collect())
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

/// Empties the lines for which `wanted` is false, given the heading that they are under and the number of arms up to them.
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
    fn a_candidate_has_its_line() {
        let text = "[trials]\ncandidates = [{ a = 1 }, { a = 2 }]\n[[arms]]\n[[arms]]\ncandidates = [\n  { a = 3,\n    b = 4 },\n]\n";
        for (owner, index, part) in [
            (Owner::Trials, 0, "\ncandidate = { a = 1 }"),
            (Owner::Trials, 1, "\ncandidate = { a = 2 }"),
            (Owner::Arm(1), 0, "\n\n\n\n\ncandidate = { a = 3,\n    b = 4 }"),
        ] {
            let candidate = Candidates::new(text, owner).get(index);
            assert_eq!((candidate.text(), candidate.place), (part, None));
            assert_eq!(candidate.pick(&value(part).unwrap()), owner.candidates(&value(text).unwrap())[index]);
        }
        let text = "[[trials.candidates]]\na = 1\n[[trials.candidates]]\na = 2\n";
        let candidate = Candidates::new(text, Owner::Trials).get(1);
        assert_eq!(candidate.pick(&value(candidate.text()).unwrap()), serde_json::json!({ "a": 2 }));
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
