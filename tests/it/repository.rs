//! What the documentation says of the whole repository, and nothing else would notice.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use twins_testing::repository;

/// All files of a folder and its subfolders, except hidden ones and what was built.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn no_crate_runs_code_when_it_is_compiled() {
    let mut all = Vec::new();
    files(&repository(), &mut all);
    let scripts: Vec<_> = all.iter().filter(|path| path.ends_with("build.rs")).collect();
    assert!(scripts.is_empty(), "build scripts: {scripts:?}");
    let manifests: Vec<_> = all.iter().filter(|path| path.ends_with("Cargo.toml")).collect();
    assert!(manifests.len() > 10, "only {} manifests were found", manifests.len());
    for manifest in manifests {
        let text = fs::read_to_string(manifest).unwrap();
        for line in text.lines().map(|line| line.replace(' ', "")) {
            let runs = line.starts_with("build=\"") || line.starts_with("proc-macro=true");
            assert!(!runs, "{}: {line}", manifest.display());
        }
    }
}

/// `.ci/audit` checks the reports of every attack in every norm that it supports.
#[cfg(unix)]
#[test]
fn the_audit_has_every_attack() {
    use std::process::Command;

    use burn_twins::attack::{Norm, RegisteredAttack};

    let script = fs::read_to_string(repository().join(".ci/audit")).unwrap();
    let begin = script.find("\nattacks() {").expect("the script has the function");
    let function = &script[begin..begin + script[begin..].find("\n}").expect("it ends") + 2];
    for (norm, name) in [(Norm::Linf, "linf"), (Norm::L2, "l2"), (Norm::L1, "l1"), (Norm::L0, "l0")] {
        let output =
            Command::new("bash").arg("-c").arg(format!("{function}\nattacks {name}")).output().unwrap();
        let audited = String::from_utf8(output.stdout).unwrap();
        let audited: BTreeSet<&str> = audited.split_whitespace().collect();
        let registered = RegisteredAttack::all().filter(|attack| attack.norms().contains(&norm));
        let mut expected: BTreeSet<&str> = registered.map(RegisteredAttack::name).collect();
        // The ensemble is not registered.
        if norm != Norm::L0 {
            expected.insert("autoattack");
        }
        assert_eq!(audited, expected, "{name}");
    }
}
