use std::ffi::OsString;

use shlex::Quoter;

/// Joins words to a command line that can be pasted into a POSIX shell.
///
/// ```
/// use twins_report::command_line;
///
/// let words = ["twins", "finetune", "--data", "folder:my pets"].map(Into::into);
/// assert_eq!(command_line(words), "twins finetune --data 'folder:my pets'");
/// ```
pub fn command_line(words: impl IntoIterator<Item = OsString>) -> String {
    // Words of a command line never contain a zero byte, so there is no point in reporting one as an error.
    let quoter = Quoter::new().allow_nul(true);
    let quoted = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let quoted: Vec<String> =
        quoted.map(|word| quoter.quote(&word).map_or(word.clone(), Into::into)).collect();
    quoted.join(" ")
}
