//! The nesting of tables in TOML text.

/// Deeper than any settings. To read, compare and drop a table takes some stack for each table in it. The parser limits the brackets around
/// a value and the parts of a key, but not both together.
pub(super) const DEEPEST: usize = 128;

/// The line, from 1, in which tables and lists are nested more deeply than [`DEEPEST`]; `None` if they are not.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // The levels that each open bracket adds: its own, and those of the key in front of it.
    let mut brackets: Vec<usize> = Vec::new();
    let (mut line, mut depth, mut key, mut dots, mut at) = (1, 0, 0, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        let begin = at;
        at += 1;
        match byte {
            b'"' | b'\'' => {
                at = end_of_string(bytes, begin);
                line += bytes[begin..at].iter().filter(|byte| **byte == b'\n').count();
            }
            b'#' => at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at),
            b'\n' => {
                line += 1;
                dots = 0;
                if brackets.is_empty() {
                    key = 0;
                }
            }
            b'.' => dots += 1,
            b'=' => (key, dots) = (dots + 1, 0),
            b',' => (key, dots) = (0, 0),
            b'{' | b'[' => {
                brackets.push(key + 1);
                depth += key + 1;
                (key, dots) = (0, 0);
            }
            b'}' | b']' => {
                depth -= brackets.pop().unwrap_or(0);
                (key, dots) = (0, 0);
            }
            _ => {}
        }
        if depth + key + dots > DEEPEST {
            return Some(line);
        }
    }
    None
}

/// Where the text that begins with a quotation mark at `start` ends.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let long = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if long { 3 } else { 1 };
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 2,
            b'\n' if !long => return at,
            _ if byte == quote && !long => return at + 1,
            _ if long && bytes[at..].starts_with(&[quote; 3]) => return at + 3,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_dots_count_together() {
        let (open, close) = ("[".repeat(129), "]".repeat(129));
        assert_eq!(too_deep(&format!("# two\nx = {open}1{close}\n")), Some(2));
        let key = ["a"; 60].join(".");
        assert_eq!(too_deep(&format!("{key} = {{ {key} = 1 }}\n")), None);
        assert_eq!(too_deep(&format!("x = '''\n'''\n{key} = {{ {key} = {{ {key} = 1 }} }}\n")), Some(3));
        assert_eq!(
            too_deep(&format!("x = [{{ {key} = 1 }}, {{ {key} = 1 }}, {{ {key} = [{{ {key} = 1 }}] }}]")),
            None
        );
    }

    #[test]
    fn text_numbers_and_comments_do_not_count() {
        let many = "[.{".repeat(200);
        let numbers = ["0.5"; 500].join(", ");
        for text in [
            format!("x = \"{many}\"\ny = '{many}'\n"),
            format!("x = \"\"\"\n\\\"\"\"{many}\"\"\"\n"),
            format!("\"\\\"{many}\" = 1 # {many}\n"),
            format!("x = [{numbers}]\n"),
            "[a.b]\nc.d = 1.5\n".repeat(500),
        ] {
            assert_eq!(too_deep(&text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_end_ends_with_the_text() {
        for text in ["x = \"", "x = \"\\", "'''", "\"\"\"\\", "#", "]}", "a.=", "x = ä\"ä"] {
            assert_eq!(too_deep(text), None, "{text}");
        }
    }
}
