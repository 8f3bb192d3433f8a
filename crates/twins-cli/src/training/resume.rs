//! Command lines that can be pasted into a shell.

use std::ffi::OsString;
use std::path::Path;

/// A command line as it can be pasted into a shell.
pub fn command_line(words: impl IntoIterator<Item = OsString>) -> String {
    words.into_iter().map(|word| quoted(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// The command line `words`, which ran in the directory `out`, with what makes it resume.
pub fn resume_command(words: impl IntoIterator<Item = OsString>, out: &Path) -> String {
    let words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let mut words: Vec<String> = words.filter(|word| word != "--resume" && word != "--force").collect();
    if !words.iter().any(|word| word == "--out" || word.starts_with("--out=")) {
        words.extend(["--out".to_owned(), out.display().to_string()]);
    }
    words.push("--resume".to_owned());
    command(words)
}

/// The command line of these words.
pub fn command(words: impl IntoIterator<Item = String>) -> String {
    words.into_iter().map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell takes it: in single quotes where it has anything that could mean something else.
fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:,=@%+".contains(character);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        let words =
            ["", "a b", "it's", "$HOME", "a\\b", "\"x\"", "*", "~", "#1", "a\nb", "ä", "a;b&c|d", "''"];
        for word in words.into_iter().chain(["plain", "folder:my/pets_1.2", "--lr=0.1"]) {
            let command = format!("printf %s {}", quoted(word));
            let output = Command::new("sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word, "{command}");
        }
        for word in ["plain", "folder:my/pets_1.2", "--lr=0.1"] {
            assert_eq!(quoted(word), word, "stays readable");
        }
    }

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
