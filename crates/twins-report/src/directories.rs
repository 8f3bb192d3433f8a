use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::ReportError;
use crate::record::run_record::RunRecord;

/// Reads the runs of all directories, in the order given, and makes their names unique.
pub(crate) fn read<P: AsRef<Path>>(directories: &[P]) -> Result<Vec<RunRecord>, ReportError> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in directories.iter().map(AsRef::as_ref) {
        let found = find(directory)?;
        if found.is_empty() {
            return Err(ReportError::NoRun { path: directory.to_owned() });
        }
        // A directory may be listed twice, or together with one that contains it.
        paths.extend(found.into_iter().filter(|path| !paths.contains(path)).collect::<Vec<_>>());
    }
    let mut runs = paths
        .into_iter()
        .map(|path| Ok((RunRecord::read(&path)?, path)))
        .collect::<Result<Vec<_>, ReportError>>()?;
    rename_repeated(&mut runs, |run, _| format!("{}, seed {}", run.name, run.provenance.seed));
    rename_repeated(&mut runs, |run, path| format!("{} ({})", run.name, path.display()));
    Ok(runs.into_iter().map(|(run, _)| run).collect())
}

/// Returns the directory itself if it is that of a run, and otherwise the directories of all runs in it, sorted by
/// name. Symbolic links are not followed.
fn find(directory: &Path) -> Result<Vec<PathBuf>, ReportError> {
    if directory.join(RunRecord::FILE).exists() {
        return Ok(vec![directory.to_owned()]);
    }
    let failed = |source| ReportError::Read { path: directory.to_owned(), source };
    let mut inner = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            inner.push(entry.path());
        }
    }
    inner.sort();
    let runs = inner.iter().map(|path| find(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(runs.concat())
}

/// Renames every run whose name is not unique.
fn rename_repeated(runs: &mut [(RunRecord, PathBuf)], rename: impl Fn(&RunRecord, &Path) -> String) {
    let mut seen = BTreeSet::new();
    let repeated: BTreeSet<String> = runs
        .iter()
        .filter(|(run, _)| !seen.insert(run.name.clone()))
        .map(|(run, _)| run.name.clone())
        .collect();
    for (run, path) in runs {
        if repeated.contains(&run.name) {
            run.name = rename(run, path);
        }
    }
}

#[cfg(test)]
mod tests {
    use twins_train::{Method, TrainConfig};

    use super::*;
    use crate::record::provenance::Provenance;

    fn write(directory: &Path, name: &str, seed: u64) {
        let config = TrainConfig::new(Method::At).with_seed(seed);
        RunRecord::new(name, &config, Provenance::starting_now(seed)).unwrap().write(directory).unwrap();
    }

    fn names<P: AsRef<Path>>(directories: &[P]) -> Vec<String> {
        read(directories).unwrap().into_iter().map(|run| run.name).collect()
    }

    #[test]
    fn runs_are_found_at_any_depth_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["study/a", "study/b/c"].map(|path| folder.path().join(path));
        write(&second, "twins-at", 0);
        write(&first, "at", 0);
        fs::create_dir(folder.path().join("study/empty")).unwrap();
        assert_eq!(names(&[folder.path()]), ["at", "twins-at"]);
        assert_eq!(names(&[&second, &first]), ["twins-at", "at"]);
        assert_eq!(names(&[&folder.path().join("study"), &second]), ["at", "twins-at"]);
    }

    #[test]
    fn runs_of_one_name_are_told_apart_by_seed_and_then_by_directory() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| folder.path().join(name));
        for (path, name, seed) in [(&a, "at", 1), (&b, "at", 2), (&c, "at", 2), (&d, "trades", 2)] {
            write(path, name, seed);
        }
        let expected = [
            "at, seed 1".to_owned(),
            format!("at, seed 2 ({})", b.display()),
            format!("at, seed 2 ({})", c.display()),
            "trades".to_owned(),
        ];
        assert_eq!(names(&[folder.path()]), expected);
    }

    #[test]
    fn a_directory_without_runs_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = read(&[folder.path()]).unwrap_err().to_string();
        assert!(message.contains("holds no run") && message.contains("result.json"), "{message}");
        let missing = folder.path().join("missing");
        let message = read(&[&missing]).unwrap_err().to_string();
        assert!(message.contains("missing"), "{message}");
    }
}
