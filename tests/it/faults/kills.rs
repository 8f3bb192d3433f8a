//! Work that is killed at random moments of every phase, and resumed each time, ends with the result of undisturbed work.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn_twins::attack::Journal;
use safetensors::SafeTensors;
use serde_json::Value;

use super::{
    bytes_of, error_of, evaluate, finetune, json, save_net, save_study, signal, study, succeed, text,
    training_result,
};

/// The number of kills of all jobs together.
const VARIABLE: &str = "TWINS_KILLS";
const USUAL_KILLS: usize = 6;
const SEED: u64 = 22;
const SIGNALS: [(&str, i32); 3] = [("KILL", 9), ("TERM", 15), ("INT", 2)];
const JOBS: usize = 3;

/// What is killed. All functions take the name of its output in the folder.
struct Job<'a> {
    name: &'static str,
    /// The place among the jobs, from 0.
    place: usize,
    /// What is killed in each phase, in words.
    phases: [&'static str; 3],
    /// Begins the work, or resumes it.
    command: &'a dyn Fn(&str) -> Command,
    /// The phase that the files show, from 0.
    phase: &'a dyn Fn(&str) -> usize,
    /// The directories of the trainings.
    trainings: &'a dyn Fn(&str) -> Vec<PathBuf>,
    /// What is saved: a list for each training or evaluation, which only grows. `None` once the work has ended and needs it no longer.
    saved: &'a dyn Fn(&str) -> Option<Vec<Vec<String>>>,
    /// What must be equal to the bit, by name.
    result: &'a dyn Fn(&str) -> BTreeMap<String, Vec<u8>>,
    /// Deletes the output.
    delete: &'a dyn Fn(&str),
}

/// Undisturbed work.
struct Straight {
    result: BTreeMap<String, Vec<u8>>,
    /// How long each phase took.
    lengths: [Duration; 3],
}

/// What a kill leaves.
#[derive(Default)]
struct Left {
    phase: usize,
    saved: Vec<Vec<String>>,
}

impl Job<'_> {
    /// The kills of this job.
    fn kills(&self) -> usize {
        let all = match std::env::var(VARIABLE) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is {text}: give a number")),
            Err(_) => USUAL_KILLS,
        };
        all / JOBS + usize::from(self.place < all % JOBS)
    }

    fn straight(&self) -> Straight {
        let begin = Instant::now();
        let mut process = (self.command)("straight").stdout(Stdio::null()).spawn().unwrap();
        let mut entered = [Duration::ZERO; 3];
        let mut phase = 0;
        loop {
            let status = process.try_wait().unwrap();
            let now = (self.phase)("straight");
            // A phase may be shorter than the time between two looks.
            if now > phase {
                entered[phase + 1..=now].fill(begin.elapsed());
                phase = now;
            }
            if status.is_some() {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        let whole = begin.elapsed();
        let status = process.wait().unwrap();
        assert!(status.success(), "{}", self.name);
        let [start, middle, late] = entered;
        assert!(phase == 2 && middle > start, "{}: the phases were not seen: {entered:?}", self.name);
        Straight {
            result: (self.result)("straight"),
            lengths: [middle, late.saturating_sub(middle), whole.saturating_sub(late)],
        }
    }

    /// Whether the process has locked the directory of a training. It handles SIGTERM and SIGINT before it does so.
    fn has_begun(&self, process: &Child) -> bool {
        let id = process.id().to_string();
        let locks = (self.trainings)("killed").into_iter().map(|run| run.join("lock"));
        locks.map(std::fs::read_to_string).any(|lock| lock.is_ok_and(|lock| lock == id))
    }

    /// What is left. Nothing that was left before may be lost or done again.
    fn left(&self, before: &Left) -> Left {
        let Some(saved) = (self.saved)("killed") else { return Left::default() };
        let phase = (self.phase)("killed");
        assert!(phase >= before.phase, "{}: phase {phase} after phase {}", self.name, before.phase);
        for (saved, before) in saved.iter().zip(&before.saved) {
            assert!(
                saved.starts_with(before),
                "{}: of {} saved entries, some were lost or made again: {saved:?}",
                self.name,
                before.len()
            );
        }
        Left { phase, saved }
    }

    /// Resumes what is left, and compares it.
    fn finish(&self, straight: &Straight, left: &Left) {
        succeed((self.command)("killed"));
        self.left(left);
        let result = (self.result)("killed");
        assert_eq!(result.keys().collect::<Vec<_>>(), straight.result.keys().collect::<Vec<_>>());
        for (name, bytes) in &straight.result {
            assert!(result[name] == *bytes, "{}: {name} differs from that of undisturbed work", self.name);
        }
        (self.delete)("killed");
    }

    fn run(&self) {
        let kills = self.kills();
        let straight = self.straight();
        let mut draws = Draws(SEED + self.place as u64);
        let (mut hits, mut signals, mut compared) = ([0; 3], [0; 3], 0);
        let (mut done, mut attempts) = (0, 0);
        let mut left = Left::default();
        while done < kills {
            attempts += 1;
            assert!(attempts <= 5 * kills + 20, "{}: {hits:?} after {attempts} attempts", self.name);
            // Every phase in turn, and with every signal.
            let target = (self.place + done) % 3;
            let chosen = (self.place + done + done / 3) % 3;
            let (name, number) = SIGNALS[chosen];
            if (self.phase)("killed") > target {
                self.finish(&straight, &std::mem::take(&mut left));
                compared += 1;
            }
            let mut command = (self.command)("killed");
            let mut process = command.stdout(Stdio::null()).spawn().unwrap();
            while (self.phase)("killed") < target && process.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(1));
            }
            sleep(straight.lengths[target].mul_f64(draws.fraction()));
            let alive = process.try_wait().unwrap().is_none();
            let mut handled = false;
            if alive {
                let phase = (self.phase)("killed");
                handled = name != "KILL" && self.has_begun(&process);
                signal(&process, name);
                hits[phase] += 1;
                signals[chosen] += 1;
                // A kill in another phase counts, but does not stand for one in this phase.
                done += usize::from(phase == target);
            }
            let output = process.wait_with_output().unwrap();
            let message = error_of(&output);
            assert!(!message.contains("panicked"), "{}: {message}", self.name);
            let ended = output.status.code();
            match ended {
                // The signal ended the process.
                None => assert!(
                    alive && !handled && output.status.signal() == Some(number),
                    "{}: {} after SIG{name}: {message}",
                    self.name,
                    output.status
                ),
                // The process ended before the signal, or the signal came in the last part of the measurement.
                Some(0) => (),
                Some(code) => assert!(
                    alive && name != "KILL" && code == 1 && message.contains("stopped, with the state saved"),
                    "{}: {code}: {message}",
                    self.name
                ),
            }
            left = self.left(&left);
            if ended == Some(0) {
                self.finish(&straight, &std::mem::take(&mut left));
                compared += 1;
            }
        }
        self.finish(&straight, &left);
        println!(
            "{}, {} kills, {} finished runs compared:",
            self.name,
            hits.iter().sum::<usize>(),
            compared + 1
        );
        for (phase, hits) in self.phases.iter().zip(hits) {
            println!("    {hits:>3} {phase}");
        }
        let by_signal = SIGNALS.iter().zip(signals).map(|((name, _), count)| format!("SIG{name} {count}"));
        println!("    {}", by_signal.collect::<Vec<_>>().join(", "));
        assert!(hits.iter().all(|hits| *hits >= kills / 3), "{}: {hits:?}", self.name);
        assert!(signals.iter().all(|count| *count >= kills / 9), "{}: {signals:?}", self.name);
    }
}

/// SplitMix64 (Steele et al. 2014).
struct Draws(u64);

impl Draws {
    /// A number in [0, 1).
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The state of a training, if one was saved. A kill between the two renames of a checkpoint leaves only the one before it.
fn state(run: &Path) -> Option<PathBuf> {
    ["last.safetensors", "previous.safetensors"]
        .map(|file| run.join(file))
        .into_iter()
        .find(|file| file.exists())
}

/// The log of the steps that the state of a training has. A line has the duration of its step, so that of a step that is trained again is
/// another one.
fn saved_steps(run: &Path) -> Vec<String> {
    let Some(file) = state(run) else { return Vec::new() };
    let bytes = bytes_of(&file);
    let (_, header) =
        SafeTensors::read_metadata(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let state: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["state"]).unwrap();
    let steps = state["steps"].as_u64().unwrap() as usize;
    let log = std::fs::read_to_string(run.join("log/steps.jsonl")).unwrap();
    let log: Vec<String> = log.lines().take(steps).map(str::to_owned).collect();
    assert_eq!(log.len(), steps, "{}: steps that the log lacks", file.display());
    log
}

#[test]
fn a_killed_training_ends_with_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let command = |out: &str| {
        let images = ["--set", "data.train_images=80", "--set", "data.test_images=120"];
        let steps = ["--epochs", "4", "--steps", "3", "--set", "evaluation.steps=20"];
        finetune(folder, out, &[&images[..], &steps, &["--log", "jsonl", "--resume"]].concat())
    };
    let phase = |out: &str| {
        let run = folder.join(out).join("at");
        match (run.join("model.safetensors").exists(), state(&run)) {
            (true, _) => 2,
            (false, saved) => usize::from(saved.is_some()),
        }
    };
    let result = |out: &str| {
        let epochs = std::fs::read_to_string(folder.join(out).join("at/metrics.jsonl")).unwrap();
        assert_eq!(epochs.lines().count(), 4);
        training_result(folder, out)
    };
    Job {
        name: "twins finetune",
        place: 0,
        phases: ["before the first checkpoint", "in training", "in measuring"],
        command: &command,
        phase: &phase,
        trainings: &|out| vec![folder.join(out).join("at")],
        saved: &|out| Some(vec![saved_steps(&folder.join(out).join("at"))]),
        result: &result,
        delete: &|out| std::fs::remove_dir_all(folder.join(out)).unwrap(),
    }
    .run();
}

#[test]
fn a_killed_evaluation_ends_with_the_same_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_net(folder);
    let file = |out: &str, extension: &str| folder.join(out).with_extension(extension);
    let command = |out: &str| {
        let attack =
            ["--attack", "autoattack", "--steps", "5", "--queries", "200", "--limit", "200", "--resume"];
        evaluate(folder, &format!("{out}.json"), &attack)
    };
    // Records after which the second half of the attacks begins: of the evaluation itself, and two outcomes of each image.
    let half = std::cell::Cell::new(usize::MAX);
    let phase = |out: &str| {
        let records =
            Journal::read(file(out, "journal")).unwrap().map_or(0, |journal| 1 + journal.outcomes().len());
        usize::from(records > 0) + usize::from(records > half.get())
    };
    // The attacks on an image whose outcomes the journal has. It is removed when the report is written.
    let saved = |out: &str| {
        if file(out, "json").exists() {
            return None;
        }
        let journal = Journal::read(file(out, "journal")).unwrap();
        let outcomes = journal.iter().flat_map(|journal| journal.outcomes().to_vec());
        Some(vec![outcomes.map(|outcome| format!("{outcome:?}")).collect()])
    };
    let result = |out: &str| {
        assert!(!file(out, "journal").exists() && !file(out, "lock").exists());
        BTreeMap::from([("report".to_owned(), text(json(file(out, "json"))))])
    };
    // The number of images that are attacked.
    succeed(twins_clean(folder));
    let attacked = json(folder.join("clean.json"))["clean"]["correct"].as_u64().unwrap() as usize;
    assert!(attacked >= 10, "{attacked}");
    half.set(1 + 2 * attacked);
    Job {
        name: "twins evaluate",
        place: 1,
        phases: [
            "before the first record",
            "in the first half of the attacks",
            "in the second half of the attacks",
        ],
        command: &command,
        phase: &phase,
        trainings: &|_| Vec::new(),
        saved: &saved,
        result: &result,
        delete: &|out| std::fs::remove_file(file(out, "json")).unwrap(),
    }
    .run();
}

fn twins_clean(folder: &Path) -> Command {
    evaluate(folder, "clean.json", &["--attack", "clean", "--limit", "200"])
}

#[test]
fn a_killed_study_ends_with_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_study(folder);
    let runs =
        |out: &str| ["at", "twins-at"].map(|arm| folder.join(out).join("runs").join(arm).join("seed-0"));
    let command = |out: &str| study(folder, out, &["--set", "log.formats=[\"jsonl\"]"]);
    let phase = |out: &str| {
        let runs = runs(out);
        if runs.iter().any(|run| run.join("model.safetensors").exists()) {
            2
        } else {
            usize::from(runs.iter().any(|run| state(run).is_some()))
        }
    };
    let result = |out: &str| {
        let [first, second] = runs(out).map(|run| bytes_of(&run.join("model.safetensors")));
        // It has no times.
        let results = bytes_of(&folder.join(out).join("study-results.json"));
        BTreeMap::from([
            ("model of at".to_owned(), first),
            ("model of twins-at".to_owned(), second),
            ("study-results.json".to_owned(), results),
        ])
    };
    Job {
        name: "twins study",
        place: 2,
        phases: ["before the first checkpoint", "in the first training", "after the first training"],
        command: &command,
        phase: &phase,
        trainings: &|out| runs(out).to_vec(),
        saved: &|out| Some(runs(out).iter().map(|run| saved_steps(run)).collect()),
        result: &result,
        delete: &|out| std::fs::remove_dir_all(folder.join(out)).unwrap(),
    }
    .run();
}
