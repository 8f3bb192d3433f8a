use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::record::date::utc;

/// The provenance of a run: the information that is needed to repeat it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Provenance {
    /// The version of this library.
    pub version: String,
    /// The names of the devices that were used, such as `cpu` or `cuda:0`.
    #[serde(default)]
    pub devices: Vec<String>,
    /// When the run was first started, as a Unix time in seconds.
    pub started: u64,
    /// The duration of training and measuring in seconds, including the time before a resumption.
    #[serde(default)]
    pub seconds: f64,
    /// The command line, quoted for a shell; empty if there was none.
    #[serde(default)]
    pub command: String,
    /// The seed of training.
    pub seed: u64,
}

impl Provenance {
    /// Creates the provenance of a run that starts now, with this version of the library.
    ///
    /// ```
    /// use twins_report::Provenance;
    ///
    /// let provenance = Provenance::starting_now(7).with_devices(["cpu"]).with_command("twins finetune --seed 7");
    /// assert_eq!(provenance.version, env!("CARGO_PKG_VERSION"));
    /// assert!(provenance.start_date().ends_with(" UTC"));
    /// ```
    pub fn starting_now(seed: u64) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            devices: Vec::new(),
            started: unix_seconds(SystemTime::now()),
            seconds: 0.0,
            command: String::new(),
            seed,
        }
    }

    /// Sets the names of the devices.
    #[must_use]
    pub fn with_devices<S: Into<String>>(mut self, devices: impl IntoIterator<Item = S>) -> Self {
        self.devices = devices.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the command line, quoted for a shell.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<String>) -> Self {
        self.command = command.into();
        self
    }

    /// When the run was first started, such as `2026-11-28 08:25:12 UTC`.
    pub fn start_date(&self) -> String {
        utc(self.started)
    }
}

/// The Unix time in seconds. A clock before 1970 is shown as 1970.
fn unix_seconds(clock: SystemTime) -> u64 {
    clock.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_before_1970_is_shown_as_1970() {
        let day = Duration::from_secs(86_400);
        assert_eq!(unix_seconds(UNIX_EPOCH - day), 0);
        assert_eq!(unix_seconds(UNIX_EPOCH + day), 86_400);
    }
}
