use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::device::DeviceError;
use super::private_file::mode_open_to_others;

/// The secret that a server requires of its clients. Server and clients read it from the environment or from a file.
///
/// It is neither an option nor printed, because other users of a machine can read its command lines and logs.
///
/// ```
/// use twins_experiment::RemoteToken;
///
/// let token = RemoteToken::new("5b0c1d3f86a94e27a1c60d9e74f2b835");
/// assert!(token.check_length().is_ok());
/// assert_eq!(format!("{token:?}"), "RemoteToken(..)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RemoteToken {
    secret: String,
    /// Where it was read, in words.
    place: String,
}

impl RemoteToken {
    /// The environment variable with the token.
    pub const VARIABLE: &str = "TWINS_REMOTE_TOKEN";
    /// The environment variable with the path of a file that contains only the token.
    pub const FILE_VARIABLE: &str = "TWINS_REMOTE_TOKEN_FILE";
    /// The number of characters that a server requires. Base64 needs 22 for 128 random bits.
    pub const MIN_LENGTH: usize = 22;

    /// A token that the program has from elsewhere.
    pub fn new(secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), place: "the program".to_owned() }
    }

    /// Reads the token from [`VARIABLE`](Self::VARIABLE), or from the file that [`FILE_VARIABLE`](Self::FILE_VARIABLE) names.
    /// `None` if neither is set.
    ///
    /// # Errors
    ///
    /// Both variables are set, the token is empty or not Unicode, or the [file](Self::read) cannot be used.
    pub fn from_environment() -> Result<Option<Self>, DeviceError> {
        Self::from_variables(env::var_os(Self::VARIABLE), env::var_os(Self::FILE_VARIABLE))
    }

    fn from_variables(value: Option<OsString>, file: Option<OsString>) -> Result<Option<Self>, DeviceError> {
        match (value, file) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => {
                let reason = format!("{} is set, too", Self::FILE_VARIABLE);
                Err(fault(Self::VARIABLE, reason, "unset one of the two variables"))
            }
            (None, Some(file)) => Self::read(Path::new(&file)).map(Some),
            (Some(value), None) => match value.into_string() {
                Ok(text) => Self::of(&text, Self::VARIABLE.to_owned()).map(Some),
                Err(_) => Err(fault(Self::VARIABLE, "it is not Unicode".to_owned(), GENERATE)),
            },
        }
    }

    /// Reads the token from a file that only its owner can read. White space at both ends does not count.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is longer than a token, contains no text, or can be read by other users.
    pub fn read(path: &Path) -> Result<Self, DeviceError> {
        /// Bytes that a token file may have.
        const LONGEST: u64 = 4096;

        let place = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            fault(&place, error.to_string(), "check that the file exists and that you may read it")
        };
        let file = fs::File::open(path).map_err(unreadable)?;
        if let Some(mode) = mode_open_to_others(&file).map_err(unreadable)? {
            let reason = format!("other users may read it (mode {mode:03o})");
            return Err(fault(&place, reason, "run `chmod 600` on the file"));
        }
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > LONGEST {
            let reason = format!("the file has more than {LONGEST} bytes");
            return Err(fault(&place, reason, "give a file that contains only the token"));
        }
        Self::of(&text, place)
    }

    fn of(text: &str, place: String) -> Result<Self, DeviceError> {
        match text.trim() {
            "" => Err(fault(&place, "it is empty".to_owned(), GENERATE)),
            secret => Ok(Self { secret: secret.to_owned(), place }),
        }
    }

    /// Checks that the token has at least [`MIN_LENGTH`](Self::MIN_LENGTH) characters. Servers do this; clients give what they have.
    ///
    /// # Errors
    ///
    /// The token is shorter.
    pub fn check_length(&self) -> Result<(), DeviceError> {
        let length = self.secret.chars().count();
        if length >= Self::MIN_LENGTH {
            return Ok(());
        }
        let reason = format!("it has {length} characters, but at least {} are needed", Self::MIN_LENGTH);
        Err(fault(&self.place, reason, GENERATE))
    }

    #[cfg(feature = "remote")]
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

const GENERATE: &str = "generate a token with `openssl rand -hex 16`";

fn fault(place: &str, reason: String, remedy: &'static str) -> DeviceError {
    DeviceError::Token { place: place.to_owned(), reason, remedy }
}

impl fmt::Debug for RemoteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemoteToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "5b0c1d3f86a94e27a1c60d9e74f2b835";

    fn variables(value: Option<&str>, file: Option<&Path>) -> Result<Option<RemoteToken>, DeviceError> {
        RemoteToken::from_variables(value.map(OsString::from), file.map(|path| path.as_os_str().to_owned()))
    }

    #[test]
    fn the_variable_or_the_file_has_the_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        assert_eq!(variables(None, None).expect("no token"), None);
        let token = variables(Some(SECRET), None).expect("a token").expect("it is set");
        assert_eq!(token.secret, SECRET);

        let error = variables(None, Some(&path)).expect_err("no file").to_string();
        assert!(error.contains("check that the file exists"), "{error}");
        let error = variables(Some(SECRET), Some(&path)).expect_err("both").to_string();
        assert!(error.contains("unset one") && !error.contains(SECRET), "{error}");
        let error = variables(Some(" \n"), None).expect_err("empty").to_string();
        assert!(error.contains("TWINS_REMOTE_TOKEN: it is empty"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_token_file_belongs_to_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("own file");
        fs::write(&path, format!("{SECRET}\n")).expect("a file");
        for readable in [0o644, 0o640, 0o604] {
            mode(readable);
            let error = RemoteToken::read(&path).expect_err("others read it").to_string();
            assert!(
                error.contains(&format!("mode {readable:03o}")) && error.contains("chmod 600"),
                "{error}"
            );
        }
        mode(0o600);
        assert_eq!(RemoteToken::read(&path).expect("a token").secret, SECRET);
        fs::write(&path, "x".repeat(5000)).expect("a file");
        let error = RemoteToken::read(&path).expect_err("a long file").to_string();
        assert!(error.contains("more than 4096 bytes"), "{error}");
    }

    #[test]
    fn short_tokens_are_refused_with_the_remedy_and_without_the_token() {
        RemoteToken::new("x".repeat(22)).check_length().expect("long enough");
        let error = RemoteToken::new("hush".repeat(5)).check_length().expect_err("20 characters").to_string();
        assert!(error.contains("20 characters") && error.contains("openssl rand -hex 16"), "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
}
