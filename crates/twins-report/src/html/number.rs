/// Formats a number with as few digits as are needed to distinguish it from its neighbours on an axis.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let digits = if size >= 100.0 { 0 } else { 4 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
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
        let cases =
            [(0.0, "0"), (0.5, "0.5"), (100.0, "100"), (0.00012, "1.2e-4"), (2e7, "2e7"), (-0.25, "-0.25")];
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
