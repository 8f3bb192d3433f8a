//! Writes docs/reference/files.md, and the JSON Schemas in docs/reference/schemas, from the types of the files.

use std::collections::BTreeMap;

use burn_twins::attack::Report;
use burn_twins::experiment::{file_schemas, written_schema};
use burn_twins::models::ModelCard;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::evaluate::Config;
use crate::training::JsonReport;

const HEADING: &str = "\
# Files

The JSON files that trainings, evaluations and studies write, with the type and the meaning of every field. A file whose name ends in
`.jsonl` has one object per line. Every other file is one object.

Durations are in seconds, and accuracies are numbers of images, unless a field says otherwise. Radii and step sizes are on the [0, 1]
scale. A field that is *optional* is left out if it has no value or is empty.

This page and the JSON Schemas are written from the code; a test compares them. Another test checks the files of a training, an evaluation
and a study against the schemas.

## Compatibility

No file has a version number of its own. `result.json` names the version of the library that wrote it in `provenance.version`, and the card
of a model file does so in `library_version`. The format belongs to the version of the library, and versions follow [semantic
versioning](https://semver.org):

- Any version may add fields, and values to fields that have one of a list of values. Ignore fields that you do not know.
- Before 1.0, a version 0.X may rename or remove fields or change their meaning. The changelog says so. A version 0.X.Y does not.

The schemas allow further fields for this reason, except in settings, where the library refuses an unknown key.

These files are not for other programs and may change in any version: `last.safetensors` and `previous.safetensors`, from which a training
is resumed; the journal of an evaluation, which is binary; and locks. [Observers](../training.md#observers) describes CSV and TensorBoard.
`twins evaluate --save-adversarial` writes a NumPy file of 32-bit floats with the shape [images, channels, height, width].

";

/// The file, the heading of its section, and what it is.
const SECTIONS: [(&str, &str, &str); 11] = [
    (
        "result.json",
        "`result.json`",
        "A run: its status, settings and results on test images. `twins finetune`, `twins train` and every training of `twins study` write it \
         to the directory of the run, after every epoch and at the end. In a program, it is a `RunRecord`.",
    ),
    (
        "metrics.jsonl",
        "`metrics.jsonl`",
        "A line for each epoch, in the directory of the run. With `--log jsonl`, `log/epochs.jsonl` has the same lines. In a program, a line \
         is an `EpochMetrics`.",
    ),
    (
        "steps.jsonl",
        "`steps.jsonl`",
        "A line for each training step, except those whose batch was skipped. With `--log jsonl`, it is written to the folder `log` in the \
         directory of the run. In a program, a line is a `StepRecord`.",
    ),
    (
        "report.json",
        "`report.json`",
        "The result of a training. `twins finetune` and `twins train` write it to `--out` at the end.",
    ),
    (
        "config.json",
        "`config.json`",
        "The settings of a training, with the values that are derived from them. It is written to the directory of the run before the first \
         step, and `--config` reads it. In a program, it is an `EffectiveConfig`.",
    ),
    (
        "experiment.json",
        "`experiment.json`",
        "All settings of a run, and the data and weights that they led to. It is written to the directory of the run before the training. A \
         resumed run is compared with it.",
    ),
    (
        "evaluation.json",
        "Report of `twins evaluate`",
        "The file that `twins evaluate --json FILE` writes at the end. In a program, it is a `Report`, whose `config` has the settings of \
         AutoAttack alone.",
    ),
    (
        "study-results.json",
        "`study-results.json`",
        "The results of a study. `twins study` writes it to the directory of the study after every run, and `twins report` next to the report \
         of merged studies. In a program, it is a `StudyResults`.",
    ),
    (
        "study.json",
        "`study.json`",
        "The resolved settings of a study. `twins study` writes it to the directory of the study at the start. A resumed study is compared \
         with it.",
    ),
    (
        "diverged.json",
        "`diverged.json`",
        "Where a training of a study diverged, in the directory of that training. In a program, it is a `Divergence`.",
    ),
    (
        "model-card.json",
        "Card of a model file",
        "The description of a model: the text of the entry `burn-twins` in the metadata of a safetensors file such as `model.safetensors`. In a \
         program, it is a `ModelCard`.",
    ),
];

/// The schema of each file, with descriptions for readers of JSON.
fn schemas() -> BTreeMap<&'static str, Value> {
    let own = [
        ("report.json", written_schema::<JsonReport>()),
        ("evaluation.json", of_evaluation()),
        ("model-card.json", written_schema::<ModelCard>()),
    ];
    let mut schemas: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, schema) in file_schemas().into_iter().chain(own) {
        let mut schema = Value::from(schema);
        let section = SECTIONS.iter().find(|section| section.0 == name);
        let about = section.unwrap_or_else(|| panic!("{name} has no section in the reference")).2;
        schema["title"] = name.into();
        schema["description"] = about.into();
        clean(&mut schema);
        schemas.insert(name, schema);
    }
    schemas
}

/// The schema of a report, in which the settings of the command line replace those of AutoAttack.
fn of_evaluation() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let config = generator.subschema_for::<Config<'static>>();
    let mut schema = generator.into_root_schema_for::<Report>();
    let property = schema.pointer_mut("/properties/config").expect("a report has the field");
    *property = config.into();
    property["description"] = "The settings of the evaluation.".into();
    schema
}

/// Turns documentation comments into descriptions of JSON.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            let required = keywords.get("required").cloned().unwrap_or_default();
            let properties = keywords.get_mut("properties").and_then(Value::as_object_mut);
            for (name, property) in properties.into_iter().flatten() {
                let none = if is_in(&required, name) { "`null`" } else { "absent" };
                if let Some(Value::String(text)) = property.get_mut("description") {
                    *text = text.replace("`None`", none);
                }
            }
            if let Some(Value::String(text)) = keywords.get_mut("description") {
                *text = description(text);
            }
            keywords.values_mut().for_each(clean);
        }
        Value::Array(items) => items.iter_mut().for_each(clean),
        _ => (),
    }
}

fn is_in(required: &Value, name: &str) -> bool {
    required.as_array().is_some_and(|names| names.iter().any(|required| required == name))
}

/// The first paragraph of a documentation comment, on one line and without links to types.
fn description(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    without_links(&line).replace("`None`", "`null`")
}

/// Replaces links by their text; other brackets stay, such as those of [0, 1].
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain += before;
        let (text, behind) = text_of_link(after).unwrap_or(("[", after));
        plain += text;
        rest = behind;
    }
    plain + rest
}

/// The text of a link after its opening bracket, and what follows the link; `None` if the bracket does not begin a link.
fn text_of_link(after: &str) -> Option<(&str, &str)> {
    let (text, behind) = after.split_once(']').filter(|(text, _)| !text.contains('['))?;
    match behind.strip_prefix('(').and_then(|target| target.split_once(')')) {
        Some((_, behind)) => Some((text, behind)),
        None => text.starts_with('`').then_some((text, behind)),
    }
}

/// The page of all files.
fn page(schemas: &BTreeMap<&str, Value>) -> String {
    let mut text = HEADING.to_owned();
    let mut objects: BTreeMap<&str, &Value> = BTreeMap::new();
    for (name, heading, about) in SECTIONS {
        let schema = &schemas[name];
        text += &format!("## {heading}\n\n{about} [JSON Schema]({})\n\n{}\n", link(name), fields(schema));
        for (name, object) in schema["$defs"].as_object().into_iter().flatten() {
            let known = objects.entry(name).or_insert(object);
            assert_eq!(
                *known, object,
                "two types are called {name}; rename one of them with #[schemars(rename)]"
            );
        }
    }
    text += "## Objects and values\n\nThe types that the tables above link to.\n\n";
    for (name, object) in objects {
        let about = object["description"].as_str().unwrap_or_default();
        text += &format!("### {name}\n\n{about}\n\n{}\n", content(object));
    }
    text.trim_end().to_owned() + "\n"
}

/// The schema of a file, from the folder of the page.
fn link(name: &str) -> String {
    let stem = name.split('.').next().unwrap_or_default();
    format!("schemas/{stem}.schema.json")
}

/// What a type consists of: fields, one of several values, or a text.
fn content(schema: &Value) -> String {
    if schema["properties"].is_object() {
        return fields(schema);
    }
    let choices = ["oneOf", "anyOf"].into_iter().find_map(|keyword| schema[keyword].as_array());
    let Some(choices) = choices else { return format!("JSON type: {}\n", kind(schema)) };
    let rows = choices.iter().map(|choice| {
        let meaning = details(choice).join(" ").replace('|', "\\|");
        format!("| {} | {meaning} |\n", kind(choice))
    });
    format!("| value | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
}

/// The table of an object's fields.
fn fields(schema: &Value) -> String {
    let rows = properties(schema).map(|(name, property)| {
        let optional = if is_in(&schema["required"], name) { "" } else { ", optional" };
        let meaning = property["description"].as_str();
        let meaning = meaning.unwrap_or_else(|| panic!("the field {name} has no documentation comment"));
        format!("| `{name}` | {}{optional} | {} |\n", kind(property), meaning.replace('|', "\\|"))
    });
    format!("| field | type | meaning |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// The description of a value and of the fields that it has.
fn details(schema: &Value) -> Vec<String> {
    let mut texts: Vec<String> = schema["description"].as_str().map(str::to_owned).into_iter().collect();
    for (name, property) in properties(schema) {
        match property["description"].as_str() {
            Some(text) => texts.push(format!("`{name}`: {text}")),
            None => texts.extend(details(property)),
        }
    }
    texts
}

/// The type of a value in words, with links to objects.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let choices = ["anyOf", "oneOf"].into_iter().find_map(|keyword| schema[keyword].as_array());
    if let Some(choices) = choices {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    types.iter().map(|name| of_type(name.as_str(), schema)).collect::<Vec<_>>().join(" or ")
}

fn of_type(name: Option<&str>, schema: &Value) -> String {
    match name {
        None => "any value".to_owned(),
        Some("array") => match (schema["prefixItems"].as_array(), &schema["minItems"]) {
            (Some(items), _) => format!("[{}]", items.iter().map(kind).collect::<Vec<_>>().join(", ")),
            (None, Value::Null) => format!("array of {}", kind(&schema["items"])),
            (None, length) => format!("array (length {length}) of {}", kind(&schema["items"])),
        },
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("object of {} by name", kind(&schema["additionalProperties"]))
        }
        Some("object") if schema["properties"].is_object() => {
            let fields = properties(schema).map(|(name, property)| format!("`{name}`: {}", kind(property)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Some(name) => name.to_owned(),
    }
}

#[test]
fn the_reference_of_the_files_is_that_of_the_code() {
    let schemas = schemas();
    assert_eq!(schemas.len(), SECTIONS.len(), "every section has a schema");
    for (name, schema) in &schemas {
        // This type writes the keywords in their usual order.
        let schema = Schema::try_from(schema.clone()).unwrap();
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        twins_testing::check_page(&format!("docs/reference/{}", link(name)), &text);
    }
    twins_testing::check_page("docs/reference/files.md", &page(&schemas));
    let folder = std::fs::read_dir(twins_testing::repository().join("docs/reference/schemas")).unwrap();
    assert_eq!(folder.count(), schemas.len(), "docs/reference/schemas has schemas of no file; delete them");
}

#[test]
fn descriptions_are_paragraphs_without_links() {
    let comment = "See [`A::b`](crate::A::b)\nand [`C`] in [0, 1); `None` at\n[x](y).\n\n# Errors\n\nNone.";
    assert_eq!(description(comment), "See `A::b` and `C` in [0, 1); `null` at x.");
    let mut schema = serde_json::json!({
        "properties": { "a": { "description": "`None`" }, "b": { "description": "`None`" } },
        "required": ["a"],
    });
    clean(&mut schema);
    assert_eq!(schema["properties"]["a"]["description"], "`null`");
    assert_eq!(schema["properties"]["b"]["description"], "absent");
}
