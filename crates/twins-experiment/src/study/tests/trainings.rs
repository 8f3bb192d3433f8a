//! What finished trainings lead to: chosen learning rates, results, and errors where directories do not fit together.

use std::path::Path;

use twins_models::{Architecture, ModelConfig};
use twins_report::{Provenance, RunRecord, RunStatus, Score, ScoreKind};
use twins_train::{Accuracy, Best, BestSource};

use super::super::collection::{Choice, Collection};
use super::super::identity::StudyIdentity;
use super::super::{Divergence, Study, StudyConfig, StudyJob, StudyResults};
use crate::run::{Identity, ImageCounts, ResolvedInputs};

const STUDY: &str = r#"
seeds = [0, 1]
[experiment]
model.arch = "tiny-resnet"
[trials]
learning_rates = [0.1, 0.01]
seed = 100
[[arms]]
name = "at"
method = "at"
[[arms]]
name = "twins"
method = "twins-at"
[[arms]]
name = "scaled"
method = "at"
learning_rate_of = { arm = "at", factor = 2.0 }
"#;

fn study() -> (Study, StudyIdentity) {
    let study = StudyConfig::from_toml("study.toml", STUDY).unwrap().check().unwrap();
    let identity = StudyIdentity::new(&study).unwrap();
    (study, identity)
}

fn trial(arm: &str, learning_rate: f64) -> StudyJob {
    StudyJob::Trial { arm: arm.to_owned(), learning_rate }
}

fn run(arm: &str, seed: u64) -> StudyJob {
    StudyJob::Run { arm: arm.to_owned(), seed }
}

/// Writes what a finished training leaves: the correct images out of 100, robust then clean.
fn finish(out: &Path, job: &StudyJob, rate: f64, correct: [usize; 2]) {
    let (study, _) = study();
    let experiment = study.experiment(job, Some(rate)).unwrap().unwrap();
    let directory = out.join(job.directory());
    let resolved = ResolvedInputs {
        images: ImageCounts { train: 900, validation: None, test: 100 },
        classes: vec!["a".to_owned(), "b".to_owned()],
        held_out: None,
        weights: None,
        model: ModelConfig::new(Architecture::TinyResNet, 2),
        head: "random".to_owned(),
    };
    let identity = Identity { settings: experiment.config().clone(), resolved };
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("experiment.json"), serde_json::to_string(&identity).unwrap()).unwrap();
    let [robust, clean] = correct.map(|correct| Accuracy { correct, total: 100 });
    let training = &experiment.config().training;
    let mut record = RunRecord::new("x", training, Provenance::starting_now(training.seed)).unwrap();
    record.status = RunStatus::Completed;
    record.best = Some(Best { epoch: 1, source: BestSource::Raw, clean, robust });
    if let StudyJob::Run { .. } = job {
        record.scores = vec![
            Score::new("clean", ScoreKind::Clean, clean),
            Score::new("PGD-20 Linf 8/255", ScoreKind::LastIterate, robust).with_seconds(3.0),
        ];
    }
    record.write(&directory).unwrap();
}

fn choose(out: &Path, arm: &str) -> Choice {
    let (_, identity) = study();
    Collection::new(&identity, &[out]).unwrap().choice(arm)
}

#[test]
fn the_best_validation_accuracy_chooses_the_learning_rate() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    finish(out, &trial("at", 0.1), 0.1, [50, 80]);
    assert_eq!(choose(out, "at"), Choice::Waiting(vec![trial("at", 0.01)]));
    assert_eq!(choose(out, "scaled"), Choice::Waiting(vec![trial("at", 0.01)]), "it takes the rate of at");
    for (correct, chosen) in
        [([51, 70], 0.01), ([49, 99], 0.1), ([50, 81], 0.01), ([50, 79], 0.1), ([50, 80], 0.01)]
    {
        finish(out, &trial("at", 0.01), 0.01, correct);
        assert_eq!(choose(out, "at"), Choice::Chosen(chosen), "{correct:?}");
        assert_eq!(choose(out, "scaled"), Choice::Chosen(2.0 * chosen));
    }
    let divergence = Divergence { what: "the loss is not finite (NaN)".to_owned(), epoch: 1, step: 1 };
    divergence.write(&out.join(trial("at", 0.01).directory())).unwrap();
    assert_eq!(choose(out, "at"), Choice::Chosen(0.1), "a trial that diverged is never chosen");
    divergence.write(&out.join(trial("at", 0.1).directory())).unwrap();
    assert_eq!(choose(out, "scaled"), Choice::AllDiverged("at".to_owned()));
    let (_, identity) = study();
    let results = StudyResults::new(&Collection::new(&identity, &[out]).unwrap());
    assert!(
        results.to_table().contains("at has no runs, because every trial diverged"),
        "{}",
        results.to_table()
    );
    let missing: Vec<&str> = results.missing.iter().map(StudyJob::arm).collect();
    assert_eq!(missing, ["twins"; 4], "no run is waited for that cannot begin");
}

/// All trainings in the first directory, or divided between two.
fn finish_all(outs: [&Path; 2]) {
    for (index, arm) in ["at", "twins"].into_iter().enumerate() {
        finish(outs[index], &trial(arm, 0.1), 0.1, [50, 80]);
        finish(outs[1 - index], &trial(arm, 0.01), 0.01, [40, 80]);
    }
    for (arm, rate, robust) in [("at", 0.1, [40, 44]), ("twins", 0.1, [42, 48]), ("scaled", 0.2, [41, 43])] {
        for seed in [0, 1] {
            finish(outs[seed], &run(arm, seed as u64), rate, [robust[seed], 80]);
        }
    }
}

#[test]
fn shards_give_the_results_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, one, two] = ["whole", "one", "two"].map(|name| folder.path().join(name));
    finish_all([&whole, &whole]);
    finish_all([&one, &two]);
    let (_, identity) = study();
    let results =
        |directories: &[&Path]| StudyResults::new(&Collection::new(&identity, directories).unwrap());
    let complete = results(&[&whole]);
    assert!(complete.is_complete());
    assert_eq!(results(&[&one, &two]), complete);
    assert_eq!(results(&[&two, &one, &whole]), complete, "the same runs twice");
    assert!(!results(&[&one]).is_complete());

    let twins = complete.arms.iter().find(|arm| arm.name == "twins").unwrap();
    let summary = twins.summary(ScoreKind::LastIterate).unwrap();
    assert!((summary.summary.mean - 0.45).abs() < 1e-15);
    let seeds: Vec<u64> = summary.difference.as_ref().unwrap().seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [0, 1]);
    assert!(complete.arms[0].summary(ScoreKind::Clean).unwrap().difference.is_none(), "the baseline itself");
    let text = serde_json::to_string(&complete).unwrap();
    assert!(!text.contains("second") && !text.contains("started"), "{text}");
}

#[test]
fn directories_that_do_not_fit_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    finish_all([&one, &one]);
    finish_all([&two, &two]);
    let (_, identity) = study();
    let message = || Collection::new(&identity, &[&one, &two]).err().unwrap().to_string();
    finish(&two, &run("at", 0), 0.1, [39, 80]);
    let found = message();
    for part in ["seed-0", "the same run with different results", "40.00 %", "39.00 %"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    finish(&two, &run("at", 0), 0.2, [40, 80]);
    let found = message();
    for part in ["two/runs/at/seed-0", "other settings", "learning_rate was 0.2 and is now 0.1"] {
        assert!(found.contains(part), "{part}: {found}");
    }
    finish(&two, &run("at", 0), 0.1, [40, 80]);
    let path = two.join("runs/twins/seed-1/experiment.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"test\":100", "\"test\":99")).unwrap();
    // That of the first directory counts; alone, the second one is of two data sets.
    let found = Collection::new(&identity, &[&two]).err().unwrap().to_string();
    assert!(
        found.contains("not measured on the same images") && found.contains("100") && found.contains("99"),
        "{found}"
    );
}

#[test]
fn a_training_without_a_readable_record_has_not_finished() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    finish_all([out, out]);
    let (_, identity) = study();
    let missing = || Collection::new(&identity, &[out]).unwrap().missing();
    assert_eq!(missing(), []);
    std::fs::write(out.join("runs/at/seed-1/result.json"), "{").unwrap();
    assert_eq!(missing(), [run("at", 1)]);
    std::fs::remove_file(out.join("runs/at/seed-0/experiment.json")).unwrap();
    assert_eq!(missing(), [run("at", 0), run("at", 1)]);
}

#[test]
fn a_study_may_grow_and_nothing_else() {
    let (_, recorded) = study();
    let changed = |from: &str, to: &str| {
        assert!(STUDY.contains(from), "{from}");
        let study =
            StudyConfig::from_toml("study.toml", &STUDY.replacen(from, to, 1)).unwrap().check().unwrap();
        StudyIdentity::new(&study).unwrap()
    };
    let arm = "[[arms]]\nname = \"new\"\nmethod = \"trades\"\n[[arms]]\nname = \"at\"";
    for (from, to) in [
        ("seeds = [0, 1]", "seeds = [2, 1, 0]"),
        ("[[arms]]\nname = \"at\"", arm),
        ("seeds = [0, 1]", "name = \"Title\"\nbaseline = \"twins\"\nseeds = [0, 1]"),
        ("model.arch", "compute.threads = 3\ndata.cache_mib = 9\nlog.formats = [\"csv\"]\nmodel.arch"),
    ] {
        assert_eq!(changed(from, to).differences_of_resumed(&recorded), Vec::<String>::new(), "{to}");
    }
    for (from, to, differences) in [
        ("seeds = [0, 1]", "seeds = [0]", &["seed 1 is missing now"][..]),
        ("name = \"twins\"", "name = \"other\"", &["arm \"twins\" is missing now"]),
        ("seed = 100", "seed = 101", &["trials.seed was 100 and is now 101"]),
        ("factor = 2.0", "factor = 3.0", &["arm \"scaled\": learning_rate.of.factor was 2.0 and is now 3.0"]),
        (
            "method = \"twins-at\"",
            "method = \"twins-at\"\nlambda = 0.5",
            &[
                "arm \"twins\": run.training.lambda was 1.0 and is now 0.5",
                "arm \"twins\": trial.training.lambda was 1.0 and is now 0.5",
            ],
        ),
    ] {
        assert_eq!(changed(from, to).differences_of_resumed(&recorded), differences, "{to}");
    }
    assert_eq!(recorded.differences(&recorded), Vec::<String>::new());
    let other = changed("seeds = [0, 1]", "seeds = [0, 1, 2]").differences(&recorded);
    assert_eq!(other, ["seeds was [0,1,2] and is now [0,1]"]);
    let text = serde_json::to_string(&recorded).unwrap();
    assert_eq!(serde_json::from_str::<StudyIdentity>(&text).unwrap(), recorded);
}
