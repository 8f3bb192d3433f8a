//! Every JSON file that the program writes fits its schema in docs/reference/schemas.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use twins_testing::repository;

use crate::schema::check;

/// Checks every JSON file in a folder and its sub-folders, and returns their names.
pub fn check_files(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            names.append(&mut check_files(&path));
        } else if name.ends_with(".json") || name.ends_with(".jsonl") {
            let schema = schema_of(&name);
            for (index, value) in values(&path).iter().enumerate() {
                let place = format!("{}:{}: $", path.display(), index + 1);
                check(&schema, &schema, value, &place).unwrap_or_else(|problem| panic!("{problem}"));
            }
            names.insert(name);
        }
    }
    names
}

/// The schema of a file. A file that the reference does not have is an error.
fn schema_of(name: &str) -> Value {
    let stem = match name.split('.').next().unwrap() {
        "epochs" => "metrics",
        stem if stem.starts_with("evaluation-") => "evaluation",
        stem => stem,
    };
    let path = repository().join("docs/reference/schemas").join(format!("{stem}.schema.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The value of a file, or those of its lines.
fn values(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let parts: Vec<&str> = if path.extension().is_some_and(|extension| extension == "jsonl") {
        text.lines().collect()
    } else {
        vec![text.as_str()]
    };
    assert!(!parts.is_empty(), "{} is empty", path.display());
    parts.into_iter().map(|part| serde_json::from_str(part).unwrap()).collect()
}

fn twins(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twins"));
    let output = command.current_dir(folder).args(arguments).args(["--threads", "1"]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The description in the header of a model file.
fn card(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let header: Value = serde_json::from_slice(&rest[..u64::from_le_bytes(*length) as usize]).unwrap();
    serde_json::from_str(header["__metadata__"]["burn-twins"].as_str().unwrap()).unwrap()
}

#[test]
fn files_of_a_training_and_of_evaluations_fit_their_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weights = repository().join("examples/studies/letters.safetensors");
    // As much as possible is measured, so that as many fields as possible are written.
    let finetune = ["finetune", "--weights", weights.to_str().unwrap(), "--limit", "40", "--epochs", "1"];
    let measured = ["--log", "jsonl", "--report-images", "10", "--set", "evaluation.last=measured"];
    let more = ["--set", "ema_decay=0.9", "--out", "run"];
    twins(folder, &[&finetune[..], &measured, &more].concat());
    let model = "run/twins-at/model.safetensors";
    let evaluate = ["evaluate", "--weights", model, "--data", "builtin", "--limit", "20", "--attack"];
    let pgd = ["pgd", "--steps", "2", "--json", "evaluation-pgd.json"];
    twins(folder, &[&evaluate[..], &pgd].concat());
    let curve = ["autoattack", "--epsilon", "1/255,2/255", "--steps", "2", "--queries", "10"];
    let json = ["--coverage", "every-attack", "--json", "evaluation-autoattack.json"];
    twins(folder, &[&evaluate[..], &curve, &json].concat());

    let expected = [
        "config.json",
        "epochs.jsonl",
        "evaluation-autoattack.json",
        "evaluation-pgd.json",
        "experiment.json",
        "metrics.jsonl",
        "report.json",
        "result.json",
        "steps.jsonl",
    ];
    assert_eq!(check_files(folder).into_iter().collect::<Vec<_>>(), expected);
    let schema = schema_of("model-card.json");
    check(&schema, &schema, &card(&folder.join(model)), "$").unwrap();

    let schema = schema_of("result.json");
    let result = &values(&folder.join("run/twins-at/result.json"))[0];
    for (change, problem) in [
        (("/status", Value::from("done")), "$.status: fits nothing"),
        (("/provenance/seed", Value::from(0.5)), "$.provenance.seed: is no"),
        (("/provenance", Value::from([1])), "$.provenance: is no"),
        (("/best/clean", serde_json::json!({ "correct": 1 })), "has no total"),
        (("/facts/0/other", Value::Null), "$.facts[0] has the unknown field other"),
        (("/curves/0/points/0/2", Value::from(1)), "has 3 items"),
    ] {
        let mut changed = result.clone();
        let (parent, key) = change.0.rsplit_once('/').unwrap();
        match changed.pointer_mut(parent).unwrap() {
            Value::Array(items) => items.insert(key.parse().unwrap(), change.1),
            object => object[key] = change.1,
        }
        let found = check(&schema, &schema, &changed, "$").unwrap_err();
        assert!(found.contains(problem), "{problem}: {found}");
    }
}
