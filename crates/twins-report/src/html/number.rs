/// Formats a number with at least four significant digits, without zeros at its end: enough to distinguish it from its neighbours on an axis.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        let text = format!("{value:.3e}");
        // Infinity and NaN have no exponent.
        let parts = text.split_once('e').map(|(digits, exponent)| format!("{}e{exponent}", trimmed(digits)));
        return parts.unwrap_or(text);
    }
    let decimals = match size {
        0.0 | 0.1.. => 4,
        0.01.. => 5,
        _ => 6,
    };
    trimmed(&format!("{value:.decimals$}")).to_owned()
}

/// Removes the zeros at the end of a decimal fraction.
fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// Formats a number with three significant digits, for texts.
pub(crate) fn rounded(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return number(value);
    }
    let unit = 10f64.powf(value.abs().log10().floor() - 2.0);
    number((value / unit).round() * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.5, "0.5"),
            (100.0, "100"),
            (0.00012, "1.2e-4"),
            (2e7, "2e7"),
            (-0.25, "-0.25"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn four_digits_are_kept() {
        // Halved learning rates, and ticks of narrow axes.
        let cases = [
            (0.000_375, "3.75e-4"),
            (0.001_25, "0.00125"),
            (0.012_345, "0.01235"),
            (2.12e-4, "2.12e-4"),
            (1.05e6, "1.05e6"),
            (100.5, "100.5"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn three_digits_are_kept() {
        let cases = [(12.3456, "12.3"), (0.012345, "0.0123"), (99.96, "100"), (-1.2349, "-1.23"), (0.0, "0")];
        for (value, text) in cases {
            assert_eq!(rounded(value), text);
        }
    }
}
