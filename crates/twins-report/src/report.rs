use std::path::Path;

use twins_files::write_atomic;

use crate::directories;
use crate::error::ReportError;
use crate::html::page::page;
use crate::record::run_record::RunRecord;
use crate::sections::{
    epochs, facts, gallery, layers, provenance, results, robustness_curves, settings, studies, study_curves,
    training, wing_drift,
};
use crate::study::{StudyArm, StudyTable};

/// A report of runs and studies; see the [crate](crate) documentation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    title: String,
    studies: Vec<StudyTable>,
    arms: Vec<StudyArm>,
    runs: Vec<RunRecord>,
}

impl Report {
    /// Creates a report without runs.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Creates the report of runs from their directories, whether or not the runs have ended. A directory that is not
    /// itself that of a run adds all runs in it, at any depth.
    ///
    /// Runs of the same name get their seed as part of the name. If the seeds are equal as well, they also get their
    /// directory.
    ///
    /// # Errors
    ///
    /// [`ReportError::NoRun`], and the errors of [`RunRecord::read`].
    pub fn of_directories<P: AsRef<Path>>(directories: &[P]) -> Result<Self, ReportError> {
        let runs = directories::read(directories)?;
        Ok(runs.into_iter().fold(Self::default(), Self::with_run))
    }

    /// Sets the title. By default, it contains the names of the runs, or their number if there are more than four.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Adds a table of a study, which is shown before the runs.
    #[must_use]
    pub fn with_study(mut self, study: StudyTable) -> Self {
        self.studies.push(study);
        self
    }

    /// Adds an arm of a study. Its mean over the seeds is drawn in the same charts as those of the other arms.
    #[must_use]
    pub fn with_study_arm(mut self, arm: StudyArm) -> Self {
        self.arms.push(arm);
        self
    }

    /// Adds a run. Several runs share tables and charts. A run whose name is already in use gets a number.
    #[must_use]
    pub fn with_run(mut self, mut run: RunRecord) -> Self {
        let name = run.name.clone();
        let mut number = 2;
        while self.runs.iter().any(|earlier| earlier.name == run.name) {
            run.name = format!("{name} ({number})");
            number += 1;
        }
        self.runs.push(run);
        self
    }

    /// The runs, in the order in which they are shown.
    pub fn runs(&self) -> &[RunRecord] {
        &self.runs
    }

    /// The report as HTML that is also well-formed XML.
    pub fn to_html(&self) -> String {
        let runs = &self.runs;
        let sections = [
            ("Study", studies::section_of(&self.studies) + &study_curves::section_of(&self.arms)),
            ("Test results", results::section_of(runs)),
            ("Data and model", facts::section_of(runs)),
            ("Training", training::section_of(runs)),
            ("Drift between the wings", wing_drift::section_of(runs)),
            ("Effective learning rate", layers::section_of(runs)),
            ("Robustness against the radius", robustness_curves::section_of(runs)),
            ("Adversarial examples", gallery::section_of(runs)),
            ("Settings", settings::section_of(runs)),
            ("Provenance", provenance::section_of(runs)),
            ("Every epoch", epochs::section_of(runs)),
        ];
        page(&self.title(), &sections)
    }

    /// Writes the report under a temporary name and then renames it, so that a reader never sees an incomplete report.
    /// Missing folders are created.
    ///
    /// # Errors
    ///
    /// [`ReportError::Write`] with the path of the file.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), ReportError> {
        let path = path.as_ref();
        write_atomic(path, self.to_html().as_bytes())
            .map_err(|source| ReportError::Write { path: path.to_owned(), source })
    }

    fn title(&self) -> String {
        if !self.title.is_empty() {
            return self.title.clone();
        }
        match self.runs.as_slice() {
            [] => "Adversarial training".to_owned(),
            [run] => format!("Adversarial training: {}", run.name),
            runs if runs.len() <= 4 => {
                let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
                format!("Adversarial training: {}", names.join(", "))
            }
            runs => format!("Adversarial training: {} runs", runs.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    #[test]
    fn names_are_told_apart_and_make_the_title() {
        let run =
            || RunRecord::new("at", &TrainConfig::new(Method::At), Provenance::starting_now(0)).unwrap();
        let report = Report::default().with_run(run()).with_run(run()).with_run(run());
        let names: Vec<&str> = report.runs().iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["at", "at (2)", "at (3)"]);
        assert!(report.to_html().contains("<h1>Adversarial training: at, at (2), at (3)</h1>"));
        assert!(report.with_title("<Mine>").to_html().contains("<h1>&lt;Mine&gt;</h1>"));
    }
}
