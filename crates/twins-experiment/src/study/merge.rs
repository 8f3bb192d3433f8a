use std::path::{Path, PathBuf};

use twins_report::Report;

use super::collection::Collection;
use super::identity::StudyIdentity;
use super::{StudyError, StudyResults, report};
use crate::error::ExperimentError;

/// The source directories of a report: runs, and a study, whose shards may be in several directories.
#[derive(Debug)]
pub struct ReportSources {
    study: Option<StudyIdentity>,
    studies: Vec<PathBuf>,
    runs: Vec<PathBuf>,
}

impl ReportSources {
    /// Inspects directories, each of which contains a study, a run, or several runs.
    ///
    /// # Errors
    ///
    /// Directories of different studies.
    pub fn find(directories: &[PathBuf]) -> Result<Self, ExperimentError> {
        let mut sources = Self { study: None, studies: Vec::new(), runs: Vec::new() };
        for directory in directories {
            match StudyIdentity::read(directory)? {
                Some(study) => sources.add_study(directory, study)?,
                None => sources.runs.push(directory.clone()),
            }
        }
        Ok(sources)
    }

    fn add_study(&mut self, directory: &Path, study: StudyIdentity) -> Result<(), StudyError> {
        if let (Some(other), Some(first)) = (&self.study, self.studies.first()) {
            let differences = other.differences(&study);
            if !differences.is_empty() {
                let (first, second) = (first.clone(), directory.to_owned());
                return Err(StudyError::DifferentStudies { first, second, differences });
            }
        }
        self.study = Some(study);
        self.studies.push(directory.to_owned());
        Ok(())
    }

    /// Whether there is a study among them.
    pub fn has_study(&self) -> bool {
        self.study.is_some()
    }

    /// Writes the report, and for a study also `study-results.json` next to it.
    ///
    /// # Errors
    ///
    /// A directory without runs; a run of a study with different results in two directories, or with settings other than the study's; a
    /// record that cannot be read; a report that cannot be written.
    pub fn write(&self, out: &Path) -> Result<Option<StudyResults>, ExperimentError> {
        let Some(identity) = &self.study else {
            Report::of_directories(&self.runs)?.write(out)?;
            return Ok(None);
        };
        let directories: Vec<&Path> = self.studies.iter().map(PathBuf::as_path).collect();
        let collection = Collection::new(identity, &directories)?;
        let results = StudyResults::new(&collection);
        let runs: Vec<_> = collection.run_directories().collect();
        results.write(&out.with_file_name(StudyResults::FILE))?;
        report::write(out, &results, &runs, &self.runs)?;
        Ok(Some(results))
    }
}
