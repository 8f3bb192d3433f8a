//! Whether a page can be used without seeing it, as far as its text shows that.

use std::collections::BTreeSet;

/// The first thing that is wrong: an id that is not unique, a link to an id that does not exist, a picture without a text, a
/// heading of a table without a scope, a table without a caption, a script.
pub(crate) fn check(html: &str) -> Result<(), String> {
    let tags: Vec<Tag<'_>> = tags(html);
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|tag| tag.attribute("id")) {
        if !ids.insert(id) {
            return Err(format!("the id {id} is given twice"));
        }
    }
    for (index, tag) in tags.iter().enumerate() {
        let has = |name: &str| tag.attribute(name).is_some_and(|value| !value.trim().is_empty());
        let problem = match tag.name {
            "img" if !has("alt") => Some("has no alternative text"),
            "svg" if tag.attribute("aria-hidden") == Some("true") => None,
            "svg" if !has("aria-label") || tag.attribute("role") != Some("img") => {
                Some("has no alternative text")
            }
            "th" if !matches!(tag.attribute("scope"), Some("col" | "row")) => Some("has no scope"),
            "table" if tags.get(index + 1).is_none_or(|next| next.name != "caption") => {
                Some("has no caption")
            }
            "html" if !has("lang") => Some("has no language"),
            "script" => Some("is a script"),
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(format!("<{}> {problem}", tag.text));
        }
        let references = ["href", "aria-labelledby"].into_iter().filter_map(|name| tag.attribute(name));
        for reference in references {
            if !ids.contains(reference.trim_start_matches('#')) {
                return Err(format!("<{}> refers to {reference}, which does not exist", tag.text));
            }
        }
    }
    Ok(())
}

struct Tag<'a> {
    text: &'a str,
    name: &'a str,
}

impl<'a> Tag<'a> {
    fn attribute(&self, name: &str) -> Option<&'a str> {
        let start = self.text.find(&format!(" {name}=\""))? + name.len() + 3;
        self.text[start..].split_once('"').map(|(value, _)| value)
    }
}

/// Opening tags of a page that is well-formed.
fn tags(html: &str) -> Vec<Tag<'_>> {
    html.match_indices('<')
        .filter_map(|(start, _)| {
            let text = &html[start + 1..];
            let mut quoted = false;
            let end = text.find(|character| {
                quoted ^= character == '"';
                character == '>' && !quoted
            })?;
            let text = text[..end].trim_end_matches('/');
            let name = text.split_whitespace().next()?;
            name.starts_with(|c: char| c.is_ascii_alphabetic()).then_some(Tag { text, name })
        })
        .collect()
}
