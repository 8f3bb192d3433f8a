//! Checks values against the JSON Schemas of docs/reference/schemas. A field that a schema does not name is an error.

use serde_json::Value;

/// Checks a value against `schema`, a part of the document `root`. The error names the place and what is wrong there.
pub fn check(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let fail = |problem: String| Err(format!("{place}: {problem}: {value}"));
    if *schema == Value::Bool(true) {
        return Ok(());
    }
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        return check(root, target.unwrap_or_else(|| panic!("{reference} is missing")), value, place);
    }
    for (keyword, most) in [("anyOf", usize::MAX), ("oneOf", 1)] {
        let Some(choices) = schema[keyword].as_array() else { continue };
        let checked = choices.iter().map(|choice| check(root, choice, value, place));
        let (fitting, problems): (Vec<_>, Vec<_>) = checked.partition(Result::is_ok);
        return match fitting.len() {
            0 => {
                let problems: Vec<String> = problems.into_iter().filter_map(Result::err).collect();
                fail(format!("fits nothing ({})", problems.join("; ")))
            }
            number if number > most => fail(format!("fits {number} of {keyword}")),
            _ => Ok(()),
        };
    }
    let only = schema.get("const").map(std::slice::from_ref);
    let allowed = only.or(schema["enum"].as_array().map(Vec::as_slice));
    if allowed.is_some_and(|allowed| !allowed.contains(value)) {
        return fail("is not an allowed value".to_owned());
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    if !types.iter().any(|name| has_type(name.as_str(), value)) {
        return fail(format!("is no {}", schema["type"]));
    }
    match value {
        Value::Object(_) => check_fields(root, schema, value, place),
        Value::Array(items) => {
            let length = items.len() as u64;
            let bound = |keyword: &str, otherwise| schema[keyword].as_u64().unwrap_or(otherwise);
            if !(bound("minItems", 0)..=bound("maxItems", u64::MAX)).contains(&length) {
                return fail(format!("has {length} items"));
            }
            items.iter().enumerate().try_for_each(|(index, item)| {
                let of_item = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
                check(root, of_item, item, &format!("{place}[{index}]"))
            })
        }
        _ => Ok(()),
    }
}

fn has_type(name: Option<&str>, value: &Value) -> bool {
    match name {
        None => true,
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(other) => panic!("unknown type {other}"),
    }
}

fn check_fields(root: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        value.get(name).ok_or_else(|| format!("{place} has no {name}: {value}"))?;
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        let known = known.filter(|known| **known != Value::Bool(false));
        let known = known.ok_or_else(|| format!("{place} has the unknown field {name}: {field}"))?;
        check(root, known, field, &format!("{place}.{name}"))?;
    }
    Ok(())
}
