//! Two processes in one place: the second is refused with the name of the first, and a lock that a dead process left does not block.

use std::fs;
use std::path::Path;

use burn_twins::attack::Journal;

use super::{
    QUICK, Running, evaluate, fail, finetune, finetune_with, json, save_net, save_study, start, study,
    succeed,
};

/// A run that lasts longer than the test, which kills it.
const ENDLESS: [&str; 2] = ["--epochs", "100000"];

fn held_by(process: &Running) -> String {
    format!("is in use by process {}", process.id())
}

#[test]
fn a_run_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut first = start(finetune(folder, "run", &[&QUICK[..], &ENDLESS].concat()));
    let (id, held) = (first.id().to_string(), held_by(&first));
    let last = folder.join("run/at/last.safetensors");
    first.wait_for("its first checkpoint", || last.exists());
    for existing in ["--resume", "--force"] {
        let message = fail(finetune(folder, "run", &[&QUICK[..], &ENDLESS, &[existing]].concat()));
        assert!(message.contains("run/at") && message.contains(&held), "{existing}: {message}");
    }
    // Another method deletes the runs of other methods, but not the one that the first process trains.
    let standard =
        || finetune_with("standard", folder, "run", &["--limit", "40", "--epochs", "1", "--force"]);
    let message = fail(standard());
    assert!(message.contains("run/at") && message.contains(&held), "{message}");
    assert!(last.exists() && !first.has_ended(), "the first process was disturbed");

    drop(first);
    assert_eq!(fs::read_to_string(folder.join("run/at/lock")).unwrap(), id);
    succeed(finetune(folder, "run", &[&QUICK[..], &["--epochs", "1", "--force"]].concat()));
    succeed(standard());
    assert!(!folder.join("run/at").exists() && folder.join("run/standard/model.safetensors").exists());
}

#[test]
fn a_run_that_reads_its_data_keeps_other_methods_out() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let standard = |existing: &[&str]| {
        finetune_with(
            "standard",
            folder,
            "run",
            &[&["--limit", "40", "--epochs", "1"][..], existing].concat(),
        )
    };
    // All that a process has in the directory before its data are read.
    fs::create_dir_all(folder.join("run/at")).unwrap();
    let lock = fs::File::create(folder.join("run/at/lock")).unwrap();
    lock.lock().unwrap();
    let none: &[&str] = &[];
    for existing in [none, &["--resume"], &["--force"]] {
        let message = fail(standard(existing));
        assert!(message.contains("run/at is in use by another process"), "{existing:?}: {message}");
        assert!(!folder.join("run/standard").exists());
    }
    drop(lock);
    succeed(standard(&[]));
}

#[test]
fn an_evaluation_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let endless = ["--attack", "pgd,square", "--queries", "1000000", "--limit", "200"];
    let mut first = start(evaluate(folder, "report.json", &endless));
    let journal = folder.join("report.journal");
    // Those of PGD, which is the first of the two.
    first.wait_for("its first outcomes", || {
        Journal::read(&journal).unwrap().is_some_and(|journal| !journal.outcomes().is_empty())
    });
    let held = held_by(&first);
    let before = fs::read(&journal).unwrap();
    let short = ["--attack", "pgd", "--steps", "1", "--limit", "20"];
    let resumed = [&endless[..], &["--resume"]].concat();
    let clean = ["--attack", "clean", "--limit", "20"];
    for second in [&short[..], &endless[..], &resumed[..], &clean[..]] {
        let message = fail(evaluate(folder, "report.json", second));
        assert!(message.contains("report.json") && message.contains(&held), "{second:?}: {message}");
    }
    assert!(fs::read(&journal).unwrap().starts_with(&before), "the journal was changed");
    succeed(evaluate(folder, "other.json", &short));

    drop(first);
    assert!(journal.exists() && folder.join("report.lock").exists());
    succeed(evaluate(folder, "report.json", &short));
    assert_eq!(json(folder.join("report.json"))["config"]["attack"], "pgd");
    assert!(!journal.exists() && !folder.join("report.lock").exists());
}

#[test]
fn a_job_of_a_study_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    let endless = ["--set", "epochs=100000"];
    let mut first = start(study(folder, "out", &endless));
    let run = folder.join("out/runs/at/seed-0");
    first.wait_for("its first checkpoint", || run.join("last.safetensors").exists());
    let lock = |run: &Path| fs::read_to_string(run.join("lock")).unwrap_or_default();
    // Several processes may share a study: the second one does the jobs that are left, here the second of two.
    let mut second = start(study(folder, "out", &endless));
    let other = folder.join("out/runs/twins-at/seed-0");
    let id = second.id().to_string();
    second.wait_for("its first checkpoint", || other.join("last.safetensors").exists());
    assert_eq!((lock(&run), lock(&other)), (first.id().to_string(), id));
    // The third has nothing to do, and says why.
    let message = fail(study(folder, "out", &endless));
    assert!(message.contains("2 jobs were left out"), "{message}");
    for (run, process) in [("out/runs/at/seed-0", &first), ("out/runs/twins-at/seed-0", &second)] {
        let part = format!("{run} {}", held_by(process));
        assert!(message.contains(&part), "{part}: {message}");
    }
    drop(first);
    drop(second);
    // Both directories have locks of dead processes.
    let mut fourth = start(study(folder, "out", &endless));
    let id = fourth.id().to_string();
    fourth.wait_for("its lock", || lock(&run) == id);
    drop(fourth);
}
