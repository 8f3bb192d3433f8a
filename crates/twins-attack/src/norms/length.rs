use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

/// A length on the scale of the pixels, [0, 1], such as an epsilon or a step size. It is read and written in the
/// notation of papers.
///
/// As text, it is a fraction of 255 if that is shorter than the decimal number, such as `8/255` or `1.5/255`, and the
/// decimal number otherwise. Written numerators are multiples of 1/4, because a step is often a quarter of epsilon.
/// Both forms can be read, with any denominator. In a file, a length can be a number or such a text; it is always
/// written as a number.
///
/// ```
/// use twins_attack::Length;
/// assert_eq!(Length::new(8.0 / 255.0).to_string(), "8/255");
/// assert_eq!(Length::new(0.0314).to_string(), "0.0314");
/// assert_eq!("8/255".parse::<Length>()?.value(), 8.0 / 255.0);
/// # Ok::<(), twins_attack::UnreadableLength>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Length(f64);

/// The numerators of written fractions are multiples of one divided by this number.
const PARTS: f64 = 4.0;
/// The relative error of two roundings to single precision, in which epsilon is often stored.
const ROUNDING: f64 = 2.0 / (1 << 24) as f64;

impl Length {
    /// Creates a length from a number of pixel values. The value is not checked here; its range is that of the setting.
    pub fn new(value: f64) -> Self {
        Self(value)
    }

    /// The length in pixel values.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Reads a length into a field of another type: `#[serde(deserialize_with = "Length::deserialize_into")]`.
    ///
    /// # Errors
    /// An error of the deserialiser if the input is neither a number nor a text such as `8/255`.
    pub fn deserialize_into<'de, T: From<Self>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        Self::deserialize(deserializer).map(T::from)
    }

    /// The numerator over 255, if it is a multiple of 1/4 up to rounding to single precision.
    fn numerator(self) -> Option<f64> {
        let scaled = self.0 * 255.0;
        let nearest = (scaled * PARTS).round() / PARTS;
        (nearest > 0.0 && (scaled - nearest).abs() <= ROUNDING * nearest).then_some(nearest)
    }
}

impl From<Length> for f64 {
    fn from(length: Length) -> Self {
        length.0
    }
}

impl From<Length> for f32 {
    fn from(length: Length) -> Self {
        length.0 as f32
    }
}

/// Converts the value to the shortest decimal number that equals it in single precision: 0.3, not 0.30000001192092896.
impl From<f32> for Length {
    fn from(value: f32) -> Self {
        Self(value.to_string().parse().unwrap_or(f64::from(value)))
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = self.0.to_string();
        match self.numerator().map(|numerator| format!("{numerator}/255")) {
            Some(fraction) if fraction.len() < decimal.len() => f.pad(&fraction),
            _ => f.pad(&decimal),
        }
    }
}

/// The error for a text that is not a length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length: give a number on the [0, 1] scale, such as 0.03, or a fraction, such as 8/255")]
pub struct UnreadableLength(pub String);

impl FromStr for Length {
    type Err = UnreadableLength;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        let value = match text.split_once('/') {
            Some((numerator, denominator)) => number(numerator)
                .zip(number(denominator).filter(|denominator| *denominator > 0.0))
                .map(|(numerator, denominator)| numerator / denominator),
            None => number(text),
        };
        value.map(Self).ok_or_else(|| UnreadableLength(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number on the [0, 1] scale, or a fraction such as \"8/255\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Length, E> {
                Ok(Length(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Length, E> {
                Ok(Length(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Length, E> {
                Ok(Length(value as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Length, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_form_is_written() {
        for (value, text) in [
            (8.0 / 255.0, "8/255"),
            (f64::from(8.0_f32 / 255.0), "8/255"),
            (1.5 / 255.0, "1.5/255"),
            (0.25 / 255.0, "0.25/255"),
            // Not 8/255, and not shown as it.
            (0.0314, "0.0314"),
            // 51/255, 128/255 and 510/255.
            (0.2, "0.2"),
            (128.0 / 255.0, "128/255"),
            (2.0, "2"),
            (0.3, "0.3"),
            (0.0, "0"),
            (-0.1, "-0.1"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(Length::new(value).to_string(), text);
        }
        assert!(!Length::new(8.01 / 255.0).to_string().contains('/'));
        assert_eq!(Length::from(0.3_f32).to_string(), "0.3");
        assert_eq!(format!("{:>7}", Length::from(4.0_f32 / 255.0)), "  4/255");
    }

    #[test]
    fn every_fraction_of_255_is_read_back_exactly() {
        for numerator in 1..=255 {
            let value = f64::from(numerator) / 255.0;
            assert_eq!(format!("{numerator}/255").parse(), Ok(Length::new(value)));
            assert_eq!(Length::new(value).to_string().parse(), Ok(Length::new(value)));
            let single = numerator as f32 / 255.0;
            assert_eq!(Length::from(single).value() as f32, single);
        }
    }

    #[test]
    fn what_is_no_length_is_named() {
        for text in ["8/", "/255", "8/0", "8/255/2", "eight", "", "8 / -255"] {
            let error = text.parse::<Length>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("8/255"), "{error}");
        }
        assert_eq!(" 8 / 255 ".parse(), Ok(Length::new(8.0 / 255.0)));
    }

    #[test]
    fn files_hold_numbers_or_fractions() {
        let read = |text: &str| serde_json::from_str::<Length>(text);
        assert_eq!(read("0.25").unwrap(), Length::new(0.25));
        assert_eq!(read("1").unwrap(), Length::new(1.0));
        assert_eq!(read("\"8/255\"").unwrap(), Length::new(8.0 / 255.0));
        assert_eq!(serde_json::to_string(&Length::new(0.25)).unwrap(), "0.25");
        let error = read("\"much\"").unwrap_err().to_string();
        assert!(error.contains("`much`") && error.contains("8/255"), "{error}");
        let error = read("true").unwrap_err().to_string();
        assert!(error.contains("expected a number on the [0, 1] scale, or a fraction"), "{error}");
        // Into the field of a setting.
        let number: f64 = Length::deserialize_into(serde_json::json!("8/255")).unwrap();
        let single: f32 = Length::deserialize_into(serde_json::json!(0.25)).unwrap();
        assert_eq!((number, single), (8.0 / 255.0, 0.25));
    }
}
