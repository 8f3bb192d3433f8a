//! The command line that resumes a run.

use std::ffi::OsString;
use std::path::Path;

use burn_twins::report::command_line;

/// Returns the command line that resumes the run of `words` in the directory `out`.
pub fn resume_command(words: impl IntoIterator<Item = OsString>, out: &Path) -> String {
    let kept = words.into_iter().filter(|word| word != "--resume" && word != "--force");
    let mut words: Vec<OsString> = kept.collect();
    if !words.iter().any(|word| word == "--out" || word.as_encoded_bytes().starts_with(b"--out=")) {
        words.extend(["--out".into(), out.into()]);
    }
    words.push("--resume".into());
    command_line(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_resumes_in_the_same_directory() {
        let command =
            |words: &[&str]| resume_command(words.iter().map(OsString::from), Path::new("runs/finetune-1"));
        assert_eq!(
            command(&["my tools/finetune", "--data", "folder:my pets", "--out", "a b", "--force"]),
            "'my tools/finetune' --data 'folder:my pets' --out 'a b' --resume"
        );
        assert_eq!(command(&["finetune"]), "finetune --out runs/finetune-1 --resume");
        assert_eq!(command(&["finetune", "--out=x y", "--resume"]), "finetune '--out=x y' --resume");
    }
}
