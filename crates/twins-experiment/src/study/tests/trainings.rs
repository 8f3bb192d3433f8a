//! What finished trainings lead to: chosen learning rates, results, and errors where directories do not fit together.

use std::path::Path;

use twins_report::{Provenance, RunRecord, RunStatus, Score, ScoreKind};
use twins_train::{Accuracy, Best, BestSource};

use super::super::collection::{Choice, Collection};
use super::super::estimate::Estimate;
use super::super::identity::StudyIdentity;
use super::super::{
    Candidate, Checkpoint, Divergence, ReportSources, Study, StudyConfig, StudyJob, StudyResults,
};
use crate::run::{Identity, ResolvedInputs};

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
settings_of = { arm = "at", learning_rate_factor = 2.0 }
"#;

pub(super) fn study() -> (Study, StudyIdentity) {
    let study = StudyConfig::from_toml("study.toml", STUDY).unwrap().check().unwrap();
    let identity = StudyIdentity::new(&study).unwrap();
    (study, identity)
}

pub(super) fn trial(arm: &str, learning_rate: f64) -> StudyJob {
    StudyJob::Trial { arm: arm.to_owned(), candidate: Candidate::of_learning_rate(learning_rate) }
}

fn chosen(learning_rate: f64) -> Choice {
    Choice::Chosen(Candidate::of_learning_rate(learning_rate))
}

fn run(arm: &str, seed: u64) -> StudyJob {
    StudyJob::Run { arm: arm.to_owned(), seed }
}

/// Writes what a finished training leaves: the correct images out of 100, robust then clean.
pub(super) fn finish(out: &Path, job: &StudyJob, rate: f64, correct: [usize; 2]) {
    finish_of(&study().0, out, job, &Candidate::of_learning_rate(rate), correct);
}

fn finish_of(study: &Study, out: &Path, job: &StudyJob, chosen: &Candidate, correct: [usize; 2]) {
    let experiment = study.experiment(job, Some(chosen)).unwrap().unwrap();
    let directory = out.join(job.directory());
    let identity = Identity { settings: experiment.config().clone(), resolved: ResolvedInputs::example() };
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

/// A study whose trials try more than learning rates.
const CANDIDATES: &str = r#"
seeds = [0, 1]
[experiment]
model.arch = "tiny-resnet"
learning_rate = 0.04
[trials]
candidates = [{ learning_rate = 0.1 }, { learning_rate = 0.01 }, { learning_rate = 0.02, weight_decay = 0.01 }]
seed = 100
[[arms]]
name = "at"
method = "at"
[[arms]]
name = "twins"
method = "twins-at"
candidates = [{ learning_rate = 0.1, lambda = 1.0 }, { lambda = 0.25 }, { learning_rate = 0.1, lambda = 0.5 }]
[[arms]]
name = "scaled"
method = "at"
settings_of = { arm = "twins", learning_rate_factor = 2.0 }
[[arms]]
name = "shared"
method = "twins-at"
model.affine = "shared"
settings_of = { arm = "twins" }
[[arms]]
name = "half"
method = "twins-at"
lambda = 0.75
settings_of = { arm = "shared", learning_rate_factor = 0.5 }
"#;

#[test]
fn the_best_candidate_is_chosen_with_all_its_settings() {
    let study = StudyConfig::from_toml("study.toml", CANDIDATES).unwrap().check().unwrap();
    let identity = StudyIdentity::new(&study).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let candidates: Vec<Candidate> =
        ["learning_rate = 0.1\nlambda = 1.0", "lambda = 0.25", "learning_rate = 0.1\nlambda = 0.5"]
            .map(|text| text.parse().unwrap())
            .to_vec();
    let trial =
        |index: usize| StudyJob::Trial { arm: "twins".to_owned(), candidate: candidates[index].clone() };
    assert_eq!(trial(1).directory(), Path::new("trials/twins/lambda-0.25"));
    let choice = |arm: &str| Collection::new(&identity, &[out]).unwrap().choice(arm);
    for (index, correct) in [[50, 80], [49, 90]].into_iter().enumerate() {
        finish_of(&study, out, &trial(index), &Candidate::new(), correct);
    }
    assert_eq!(choice("twins"), Choice::Waiting(vec![trial(2)]));
    // Robust accuracy, then clean accuracy, then the lower learning rate (0.04 is that of the settings), then the order.
    for (second, third, best) in [
        ([49, 90], [51, 10], 2),
        ([51, 10], [50, 99], 1),
        ([50, 80], [50, 80], 1),
        ([50, 79], [50, 80], 0),
        ([50, 79], [50, 81], 2),
    ] {
        finish_of(&study, out, &trial(1), &Candidate::new(), second);
        finish_of(&study, out, &trial(2), &Candidate::new(), third);
        assert_eq!(choice("twins"), Choice::Chosen(candidates[best].clone()), "{second:?} {third:?}");
        let rate = [0.1, 0.04, 0.1][best];
        // Others take all settings but their own. Adversarial training has no lambda, which is then without effect.
        let with_rate = |rate: f64| candidates[best].clone().with_learning_rate(rate);
        assert_eq!(choice("scaled"), Choice::Chosen(with_rate(2.0 * rate)));
        assert_eq!(choice("shared"), Choice::Chosen(with_rate(rate)));
        assert_eq!(choice("half"), chosen(0.5 * rate));
    }

    let run = run("twins", 1);
    let settings = study.experiment(&run, Some(&candidates[2])).unwrap().unwrap();
    let training = &settings.config().training;
    assert_eq!((training.learning_rate, training.lambda, training.seed), (0.1, 0.5, 1));
    let lambda = |arm: &str, chosen: &Candidate| {
        let job = StudyJob::Run { arm: arm.to_owned(), seed: 1 };
        study.experiment(&job, Some(chosen)).unwrap().unwrap().config().training.lambda
    };
    assert_eq!(lambda("shared", &candidates[2]), 0.5);
    assert_eq!(lambda("half", &Candidate::of_learning_rate(0.05)), 0.75);
    finish_of(&study, out, &run, &candidates[2], [40, 80]);
    let results = StudyResults::new(&Collection::new(&identity, &[out]).unwrap());
    let arm = results.arms.iter().find(|arm| arm.name == "twins").unwrap();
    assert_eq!(
        (arm.chosen.as_ref(), arm.learning_rate, arm.runs.len()),
        (Some(&candidates[2]), Some(0.1), 1)
    );
    let json = serde_json::to_value(&results).unwrap();
    assert_eq!(json["arms"][1]["chosen"], serde_json::json!({ "learning_rate": 0.1, "lambda": 0.5 }));
    assert_eq!(json["arms"][1]["trials"][1]["candidate"], serde_json::json!({ "lambda": 0.25 }));
    assert!(
        results.to_table().contains("twins   0.1            lambda 0.5      1 of 2"),
        "{}",
        results.to_table()
    );

    // A run with the settings of another candidate is not the study's.
    finish_of(&study, out, &run, &candidates[0], [40, 80]);
    let message = Collection::new(&identity, &[out]).err().unwrap().to_string();
    assert!(
        message.contains("other settings") && message.contains("lambda was 1.0 and is now 0.5"),
        "{message}"
    );
}

#[test]
fn the_file_of_an_older_study_is_refused() {
    let (_, identity) = study();
    let folder = tempfile::tempdir().unwrap();
    identity.write(folder.path()).unwrap();
    let path = folder.path().join(StudyIdentity::FILE);
    let mut old: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    old["arms"][0]["settings_from"] = serde_json::json!({ "trials": [0.1, 0.01] });
    std::fs::write(&path, old.to_string()).unwrap();
    let message = StudyIdentity::read(folder.path()).unwrap_err().to_string();
    for part in ["study.json is damaged, or of another version", "give another --out, or delete this file"] {
        assert!(message.contains(part), "{part}: {message}");
    }
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
    // A trial that still runs has validated epochs, too.
    finish(out, &trial("at", 0.01), 0.01, [60, 90]);
    let directory = out.join(trial("at", 0.01).directory());
    let finished = RunRecord::read(&directory).unwrap();
    for status in [RunStatus::Running, RunStatus::Interrupted] {
        RunRecord { status, ..finished.clone() }.write(&directory).unwrap();
        assert_eq!(choose(out, "at"), Choice::Waiting(vec![trial("at", 0.01)]), "{status:?}");
    }
    assert_eq!(choose(out, "scaled"), Choice::Waiting(vec![trial("at", 0.01)]), "it takes the rate of at");
    for (correct, rate) in
        [([51, 70], 0.01), ([49, 99], 0.1), ([50, 81], 0.01), ([50, 79], 0.1), ([50, 80], 0.01)]
    {
        finish(out, &trial("at", 0.01), 0.01, correct);
        assert_eq!(choose(out, "at"), self::chosen(rate), "{correct:?}");
        assert_eq!(choose(out, "scaled"), self::chosen(2.0 * rate));
    }
    let divergence = Divergence { what: "the loss is not finite (NaN)".to_owned(), epoch: 1, step: 1 };
    divergence.write(&out.join(trial("at", 0.01).directory())).unwrap();
    assert_eq!(choose(out, "at"), chosen(0.1), "a trial that diverged is never chosen");
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

#[test]
fn estimates_are_of_trainings_that_did_not_diverge() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    for (arm, seconds) in [("at", 60.0), ("twins", 2.0)] {
        finish(out, &trial(arm, 0.1), 0.1, [50, 80]);
        let directory = out.join(trial(arm, 0.1).directory());
        let mut record = RunRecord::read(&directory).unwrap();
        record.provenance.seconds = seconds;
        record.write(&directory).unwrap();
    }
    let left = || {
        let (_, identity) = study();
        let estimate = Estimate::new(&Collection::new(&identity, &[out]).unwrap());
        estimate.describe(&[trial("at", 0.01), trial("twins", 0.01)])
    };
    assert_eq!(left().as_deref(), Some("about 1 min 2 s"));
    let divergence = Divergence { what: "the loss is not finite (NaN)".to_owned(), epoch: 1, step: 1 };
    divergence.write(&out.join(trial("twins", 0.1).directory())).unwrap();
    assert_eq!(left().as_deref(), Some("about 2 min 0 s"), "as long as the trial of at");
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
    let summary = twins.summary(ScoreKind::LastIterate, Checkpoint::Best).unwrap();
    assert!((summary.summary.mean - 0.45).abs() < 1e-15);
    let seeds: Vec<u64> = summary.difference.as_ref().unwrap().seeds.iter().map(|seed| seed.seed).collect();
    assert_eq!(seeds, [0, 1]);
    assert!(
        complete.arms[0].summary(ScoreKind::Clean, Checkpoint::Best).unwrap().difference.is_none(),
        "the baseline itself"
    );
    let text = serde_json::to_string(&complete).unwrap();
    assert!(!text.contains("second") && !text.contains("started"), "{text}");
}

#[test]
fn the_report_draws_means_over_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    finish_all([out, out]);
    for (seed, correct) in [(0, 40), (1, 50)] {
        let directory = out.join(run("twins", seed).directory());
        let accuracy = |correct| Accuracy { correct, total: 100 };
        let epoch = serde_json::json!({
            "epoch": 1, "steps": 1, "learning_rate": 0.1, "loss": 1.0, "loss_frozen": null, "loss_adaptive": 1.0,
            "train_adversarial_accuracy": accuracy(1), "validation_clean_accuracy": accuracy(80),
            "validation_robust_accuracy": accuracy(correct), "ema_accuracy": null, "gradient_norm": 1.0,
            "wing_drift": { "bn1": { "mean_shift": 0.5, "variance_ratio": 0.25 } },
            "skipped_batches": 0, "images_per_second": 1.0, "seconds": 1.0, "seconds_waiting": 0.0,
        });
        std::fs::write(directory.join("metrics.jsonl"), format!("{epoch}\n")).unwrap();
        let mut record = RunRecord::read(&directory).unwrap();
        record.finished_epochs = 1;
        record.write(&directory).unwrap();
    }
    let sources = ReportSources::find(&[out.to_owned()]).unwrap();
    assert!(!sources.has_study());
    let (_, identity) = study();
    identity.write(out).unwrap();
    let report = out.join("merged.html");
    ReportSources::find(&[out.to_owned()]).unwrap().write(&report).unwrap();
    let html = std::fs::read_to_string(report).unwrap();
    assert!(html.contains("Robust accuracy on the validation split: mean over the seeds"), "{html}");
    assert!(html.contains("twins: 45 at 1.") && html.contains("twins: 0.5 at 1."), "{html}");
}

#[test]
fn last_checkpoints_are_summarised_where_they_were_measured() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    finish_all([out, out]);
    let (_, identity) = study();
    let results = || StudyResults::new(&Collection::new(&identity, &[out]).unwrap());
    assert!(results().last_metrics.is_empty() && !results().to_table().contains("last:"));
    let text = serde_json::to_string(&results()).unwrap();
    assert!(!text.contains("\"last\"") && !text.contains("\"last_"), "nothing of it in the file: {text}");
    for (arm, last) in [("at", [30, 40]), ("twins", [42, 44]), ("scaled", [41, 43])] {
        for seed in [0, 1] {
            let directory = out.join(run(arm, seed).directory());
            let mut record = RunRecord::read(&directory).unwrap();
            let accuracy = |correct| Accuracy { correct, total: 100 };
            record.last_scores = vec![
                Score::new("clean", ScoreKind::Clean, accuracy(85)),
                Score::new("PGD-20 Linf 8/255", ScoreKind::LastIterate, accuracy(last[seed as usize])),
            ];
            record.write(&directory).unwrap();
        }
    }
    let results = results();
    let mean = |arm: &str, checkpoint| {
        let arm = results.arms.iter().find(|other| other.name == arm).unwrap();
        (100.0 * arm.summary(ScoreKind::LastIterate, checkpoint).unwrap().summary.mean).round() as i64
    };
    // at: best 40 and 44, last 30 and 40. twins: best 42 and 48, last 42 and 44.
    assert_eq!([Checkpoint::Best, Checkpoint::Last, Checkpoint::Gap].map(|of| mean("at", of)), [42, 35, 7]);
    assert_eq!(
        [Checkpoint::Best, Checkpoint::Last, Checkpoint::Gap].map(|of| mean("twins", of)),
        [45, 43, 2]
    );
    let table = results.to_table();
    for part in ["best − last: PGD-20 Linf 8/255 (100 images)", "+7.00 ± 4.24", "-5.00 ± 7.07"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let tables = results.tables();
    let gaps: Vec<_> = tables.iter().flat_map(|table| &table.gaps).collect();
    let [_, robust] = gaps.as_slice() else { panic!("clean and PGD: {gaps:?}") };
    assert_eq!(robust.title, "best − last: PGD-20 Linf 8/255 (100 images)");
    for ((arm, gaps), expected) in robust.arms.iter().zip([("at", [10.0, 4.0]), ("twins", [0.0, 4.0])]) {
        let rounded: Vec<f64> = gaps.iter().map(|gap| gap.round()).collect();
        assert_eq!((arm.as_str(), rounded.as_slice()), (expected.0, &expected.1[..]));
    }
    let text = serde_json::to_string(&results).unwrap();
    assert_eq!(serde_json::from_str::<StudyResults>(&text).unwrap(), results);
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
        found.contains("not trained or measured on the same images")
            && found.contains("100")
            && found.contains("99"),
        "{found}"
    );
    std::fs::write(&path, &text).unwrap();
    let trial = identity.trials().swap_remove(0);
    for of in ["runs/twins/seed-1".into(), trial.directory()] {
        let path = two.join(&of).join("experiment.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = text.replacen("\"images\":{\"train\":", "\"images\":{\"train\":1", 1);
        assert_ne!(changed, text);
        std::fs::write(&path, changed).unwrap();
        let found = Collection::new(&identity, &[&two]).err().unwrap().to_string();
        let directory = of.display().to_string();
        assert!(found.contains("training images was") && found.contains(&directory), "{found}");
        std::fs::write(&path, text).unwrap();
    }
    Collection::new(&identity, &[&two]).unwrap();
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
        (
            "factor = 2.0",
            "factor = 3.0",
            &["arm \"scaled\": settings_from.of.learning_rate_factor was 2.0 and is now 3.0"],
        ),
        (
            "method = \"twins-at\"",
            "method = \"twins-at\"\nlambda = 0.5",
            &[
                "arm \"twins\": run.training.lambda was 0.3 and is now 0.5",
                "arm \"twins\": trial.training.lambda was 0.3 and is now 0.5",
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
