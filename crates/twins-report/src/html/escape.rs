use twins_files::changes_direction;

/// Escapes text for an element or a quoted attribute. Characters that XML does not allow become U+FFFD, and so do those that would change
/// the direction of the text behind them; crates for HTML would keep both.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ if character.is_control() || changes_direction(character) => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escape("<b class=\"x\">'&'\u{0}\n</b>"),
            "&lt;b class=&quot;x&quot;&gt;&#39;&amp;&#39;\u{fffd}\n&lt;/b&gt;"
        );
        assert_eq!(escape("a\u{202e}gnp.exe\u{2066}قطة\u{9b}"), "a\u{fffd}gnp.exe\u{fffd}قطة\u{fffd}");
    }
}
