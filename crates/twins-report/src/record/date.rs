use chrono::DateTime;

/// Formats a Unix time as `YYYY-MM-DD hh:mm:ss UTC`. A time that is outside the calendar is given in seconds.
pub(crate) fn utc(unix_seconds: u64) -> String {
    let date = i64::try_from(unix_seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.map_or_else(
        || format!("{unix_seconds} s after 1970-01-01"),
        |date| date.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        // From `date -u -d @SECONDS`.
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_000_000_000, "2001-09-09 01:46:40 UTC"),
            // A record that was edited by hand.
            (u64::MAX, "18446744073709551615 s after 1970-01-01"),
            (i64::MAX as u64, "9223372036854775807 s after 1970-01-01"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text);
        }
    }
}
