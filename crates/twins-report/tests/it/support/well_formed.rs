//! Whether a text is well-formed XML, as far as a report uses it.

/// The first thing that is wrong: tags that do not match, attributes without quotes or given twice, a stray `<` or `&`,
/// more than one root.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let mut rest = text.strip_prefix("<!DOCTYPE html>").unwrap_or(text);
    let mut open: Vec<String> = Vec::new();
    let mut roots = 0;
    while let Some(start) = rest.find('<') {
        check_text(&rest[..start])?;
        if open.is_empty() && !rest[..start].trim().is_empty() {
            return Err(format!("text outside the root: {}", &rest[..start]));
        }
        let tag = &rest[start + 1..];
        let end = tag_end(tag).ok_or_else(|| format!("a tag does not end: {}", head(tag)))?;
        let inner = &tag[..end];
        rest = &tag[end + 1..];
        if let Some(name) = inner.strip_prefix('/') {
            match open.pop() {
                Some(expected) if expected == name.trim_end() => {}
                other => return Err(format!("</{name}> closes {other:?}")),
            }
            continue;
        }
        let (inner, closed) = inner.strip_suffix('/').map_or((inner, false), |inner| (inner, true));
        let name: String = inner.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
        if name.is_empty() {
            return Err(format!("a tag has no name: <{}", head(tag)));
        }
        check_attributes(&inner[name.len()..]).map_err(|problem| format!("<{name}>: {problem}"))?;
        roots += usize::from(open.is_empty());
        if !closed {
            open.push(name);
        }
    }
    check_text(rest)?;
    match (open.pop(), roots) {
        (Some(name), _) => Err(format!("<{name}> is never closed")),
        (None, 1) if rest.trim().is_empty() => Ok(()),
        _ => Err(format!("{roots} roots, and behind them {:?}", head(rest))),
    }
}

fn head(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Where a tag ends: the first `>` outside quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quoted = false;
    tag.char_indices().find_map(|(place, character)| {
        quoted ^= character == '"';
        (character == '>' && !quoted).then_some(place)
    })
}

fn check_attributes(mut text: &str) -> Result<(), String> {
    let mut names: Vec<String> = Vec::new();
    while !text.trim().is_empty() {
        if !text.starts_with(char::is_whitespace) {
            return Err(format!("no space before {:?}", head(text)));
        }
        let (name, rest) =
            text.trim_start().split_once("=\"").ok_or_else(|| format!("no value: {}", head(text)))?;
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
        if name.is_empty() || !name.chars().all(valid) || names.iter().any(|known| known == name) {
            return Err(format!("attribute {name:?} is bad or given twice"));
        }
        let (value, rest) = rest.split_once('"').ok_or("a value does not end")?;
        if value.contains('<') {
            return Err(format!("{name} contains <"));
        }
        check_text(value)?;
        names.push(name.to_owned());
        text = rest;
    }
    Ok(())
}

/// Every `&` begins one of XML's own entities or a number.
fn check_text(text: &str) -> Result<(), String> {
    let bad = text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
    if let Some((_, character)) = bad {
        return Err(format!("control character {character:?}"));
    }
    for (place, _) in text.match_indices('&') {
        let entity = text[place + 1..].split_once(';').map(|(entity, _)| entity);
        let known = entity.is_some_and(|entity| {
            matches!(entity, "amp" | "lt" | "gt" | "quot" | "apos")
                || entity.strip_prefix('#').is_some_and(|digits| digits.parse::<u32>().is_ok())
        });
        if !known {
            return Err(format!("stray &: {}", head(&text[place..])));
        }
    }
    Ok(())
}
