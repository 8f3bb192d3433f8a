use std::ffi::OsString;

use shlex::Quoter;

/// Words as a command line that can be pasted into a POSIX shell.
///
/// ```
/// use twins_report::command_line;
///
/// let words = ["twins", "finetune", "--data", "folder:my pets"].map(Into::into);
/// assert_eq!(command_line(words), "twins finetune --data 'folder:my pets'");
/// ```
pub fn command_line(words: impl IntoIterator<Item = OsString>) -> String {
    // No word of a command line has a zero byte; the error of one in anything else helps nobody here.
    let quoter = Quoter::new().allow_nul(true);
    let quoted = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let quoted: Vec<String> =
        quoted.map(|word| quoter.quote(&word).map_or(word.clone(), Into::into)).collect();
    quoted.join(" ")
}
