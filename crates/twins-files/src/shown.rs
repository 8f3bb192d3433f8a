//! Names from files, as messages, tables and terminals show them.

use std::borrow::Cow;

/// Escapes what a terminal would act on: control characters, which include the beginning of an ANSI sequence, and the characters that
/// change the direction of writing. Line breaks and tabs are kept.
///
/// ```
/// use twins_files::escaped;
///
/// assert_eq!(escaped("two\nlines"), "two\nlines");
/// assert_eq!(escaped("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
/// ```
pub fn escaped(text: &str) -> Cow<'_, str> {
    escape(text, |character| acts(character) && !matches!(character, '\n' | '\t'))
}

/// Escapes like [`escaped`], and line breaks and tabs as well, so that the text stays on one line.
///
/// ```
/// use twins_files::one_line;
///
/// assert_eq!(one_line("it's \"ä\""), "it's \"ä\"");
/// assert_eq!(one_line("a\r\nerror: b"), "a\\r\\nerror: b");
/// ```
pub fn one_line(text: &str) -> Cow<'_, str> {
    escape(text, acts)
}

/// At most `most` characters of a text, on one line; `…` is the last of them if there are more.
///
/// ```
/// use twins_files::shortened;
///
/// assert_eq!(shortened("tabby\tcat", 20), "tabby\\tcat");
/// assert_eq!(shortened("a long name", 7), "a long…");
/// ```
pub fn shortened(text: &str, most: usize) -> String {
    // Escapes only make a text longer, so that nothing behind these characters can be shown.
    let beginning = text.char_indices().nth(most.saturating_add(1)).map_or(text, |(end, _)| &text[..end]);
    let line = one_line(beginning);
    match line.char_indices().nth(most) {
        None => line.into_owned(),
        Some(_) => line.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether a character changes the direction of the text behind it: the embeddings, overrides and isolates of Unicode's UAX #9.
///
/// ```
/// use twins_files::changes_direction;
///
/// assert!(changes_direction('\u{202e}') && !changes_direction('ق'));
/// ```
pub fn changes_direction(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a terminal, or a program that reads lines, does something else with a character than show it.
fn acts(character: char) -> bool {
    // Line and paragraph separators.
    character.is_control() || changes_direction(character) || matches!(character, '\u{2028}' | '\u{2029}')
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_escaped(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_is_left() {
        let every: String = (0..=0x10ffff).filter_map(char::from_u32).collect();
        assert!(!one_line(&every).contains(acts));
        assert!(!escaped(&every).contains(|character: char| acts(character) && !"\n\t".contains(character)));
        assert_eq!(one_line("a\u{202e}gnp.exe\u{9b}2J\u{0}"), "a\\u{202e}gnp.exe\\u{9b}2J\\u{0}");
        // Names in any script, and Windows' paths, stay as they are.
        for name in ["C:\\data\\\"x\"", "猫", "e\u{301}", "قطة", "👩‍🔬"] {
            assert!(matches!(one_line(name), Cow::Borrowed(same) if same == name), "{name}");
        }
    }

    #[test]
    fn the_length_is_that_of_what_is_shown() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("\u{1b}\u{1b}", 7), "\\u{1b}…");
        assert_eq!(shortened("", 0), "");
        let long = "\n".repeat(10_000);
        assert_eq!(shortened(&long, 40).chars().count(), 40);
    }
}
