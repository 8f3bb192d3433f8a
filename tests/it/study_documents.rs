//! The tables of docs/study/README.md have the numbers of the recorded studies beside it, and controls the settings that were chosen there.

use std::fs;

use burn_twins::experiment::{
    ArmResults, Candidate, Checkpoint, EpochResult, PairedDifference, RunResult, Study, StudyConfig,
    StudyResults,
};
use burn_twins::report::ScoreKind;
use burn_twins::train::TrainConfig;
use twins_testing::repository;

/// The sections whose tables are not about recorded studies.
const OTHER_SECTIONS: [&str; 3] = ["The studies", "Published results", "What holds, and what does not"];
/// The beginning of the line below the headings of a table.
const RULE: &str = "|---";
/// Of the study of the first steps: 4 269 images in batches of 64.
const STEPS_PER_EPOCH: usize = 67;
/// The columns of the tables.
const METRICS: [ScoreKind; 3] = [ScoreKind::Clean, ScoreKind::LastIterate, ScoreKind::AutoAttack];

fn recorded(file: &str) -> StudyResults {
    let path = repository().join("docs/study").join(file);
    let results: StudyResults = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(results.is_complete() && results.seeds == [1, 2, 3], "{file}");
    results
}

fn arm<'a>(results: &'a StudyResults, name: &str) -> &'a ArmResults {
    results.arms.iter().find(|arm| arm.name == name).unwrap()
}

fn document() -> String {
    fs::read_to_string(repository().join("docs/study/README.md")).unwrap()
}

/// Checks that the page has these texts, wherever its lines break.
fn check_texts<const N: usize>(texts: [String; N]) {
    let on_one_line = document().split_whitespace().collect::<Vec<_>>().join(" ");
    for text in texts {
        assert!(on_one_line.contains(&text), "{text}");
    }
}

/// The rows of the tables about recorded studies, without the headings.
fn rows(document: &str) -> Vec<&str> {
    let mut rows = Vec::new();
    for section in document.split("\n#") {
        let mut lines = section.lines().peekable();
        let heading = lines.next().unwrap_or_default().trim_start_matches('#').trim();
        if OTHER_SECTIONS.contains(&heading) {
            continue;
        }
        while let Some(line) = lines.next() {
            let has_headings = lines.peek().is_some_and(|next| next.starts_with(RULE));
            if line.starts_with('|') && !line.starts_with(RULE) && !has_headings {
                rows.push(line);
            }
        }
    }
    rows
}

/// A mean with its sample standard deviation.
fn mean(arm: &ArmResults, metric: ScoreKind, checkpoint: Checkpoint) -> String {
    let summary = &arm.summary(metric, checkpoint).unwrap().summary;
    format!("{:.2} ± {:.2} %", 100.0 * summary.mean, 100.0 * summary.standard_deviation.unwrap())
}

/// A row of means at the best checkpoints.
fn means(name: &str, arm: &ArmResults) -> String {
    let cells = METRICS.map(|metric| mean(arm, metric, Checkpoint::Best));
    format!("| {name} | {} |", cells.join(" | "))
}

/// A row of means after the settings that trials chose.
fn means_with_choice(name: &str, arm: &ArmResults) -> String {
    let chosen = arm.chosen.as_ref().unwrap().to_string();
    let chosen = chosen
        .replace("weight_decay 0.00001", "weight decay 1e-5")
        .replace("weight_decay 0.0005", "weight decay 5e-4");
    means(&format!("{name} | {chosen}"), arm)
}

/// A paired difference with its interval; the arms may be those of two studies.
fn difference(arm: &ArmResults, other: &ArmResults, metric: ScoreKind, checkpoint: Checkpoint) -> String {
    let percent = |arm: &ArmResults, seed: u64| {
        let run = arm.runs.iter().find(|run| run.seed == seed).unwrap();
        100.0 * run.value(metric, checkpoint).unwrap()
    };
    let paired = PairedDifference::of(&[1, 2, 3].map(|seed| percent(arm, seed) - percent(other, seed)));
    let PairedDifference { summary, interval } = paired.unwrap();
    let [low, high] = interval.unwrap();
    format!("{} [{}, {}]", points(summary.mean), points(low), points(high))
}

/// A row of paired differences at the best checkpoints.
fn differences(name: &str, arm: &ArmResults, other: &ArmResults) -> String {
    let cells = METRICS.map(|metric| difference(arm, other, metric, Checkpoint::Best));
    format!("| {name} | {} |", cells.join(" | "))
}

/// The arms of the four methods.
fn four_arms(results: &StudyResults) -> [&ArmResults; 4] {
    ["at", "twins-at", "trades", "twins-trades"].map(|name| arm(results, name))
}

/// The rows of means and differences of the four methods.
fn methods([at, twins_at, trades, twins_trades]: [&ArmResults; 4]) -> [String; 8] {
    [
        means_with_choice("AT", at),
        means_with_choice("TWINS-AT", twins_at),
        means_with_choice("TRADES", trades),
        means_with_choice("TWINS-TRADES", twins_trades),
        differences("TWINS-AT − AT", twins_at, at),
        differences("TRADES − AT", trades, at),
        differences("TWINS-TRADES − AT", twins_trades, at),
        differences("TWINS-TRADES − TRADES", twins_trades, trades),
    ]
}

/// Percentage points with a sign, as the document writes them.
fn points(value: f64) -> String {
    let size = format!("{:.2}", value.abs());
    if size == "0.00" {
        return size;
    }
    let sign = if value < 0.0 { '−' } else { '+' };
    format!("{sign}{size}")
}

/// What the best checkpoints have more than the last ones.
fn gap_of(arm: &ArmResults, metric: ScoreKind) -> String {
    let summary = &arm.summary(metric, Checkpoint::Gap).unwrap().summary;
    format!("{} ± {:.2}", points(100.0 * summary.mean), 100.0 * summary.standard_deviation.unwrap())
}

/// What the best checkpoints have more than the last ones under PGD-20.
fn gap(arm: &ArmResults) -> String {
    gap_of(arm, ScoreKind::LastIterate)
}

/// The rows of the study of overfitting: accuracies of the best and the last checkpoints, and the gaps between them.
fn overfitting(at: &ArmResults, twins_at: &ArmResults) -> Vec<String> {
    let metrics = [ScoreKind::Clean, ScoreKind::LastIterate];
    let row = |name: &str, cell: &dyn Fn(ScoreKind) -> String| {
        format!("| {name} | {} |", metrics.map(cell).join(" | "))
    };
    let difference = |metric, checkpoint| difference(twins_at, at, metric, checkpoint);
    vec![
        row("AT, best", &|metric| mean(at, metric, Checkpoint::Best)),
        row("AT, last", &|metric| mean(at, metric, Checkpoint::Last)),
        row("TWINS-AT, best", &|metric| mean(twins_at, metric, Checkpoint::Best)),
        row("TWINS-AT, last", &|metric| mean(twins_at, metric, Checkpoint::Last)),
        row("AT, best − last", &|metric| gap_of(at, metric)),
        row("TWINS-AT, best − last", &|metric| gap_of(twins_at, metric)),
        row("TWINS-AT − AT, best", &|metric| difference(metric, Checkpoint::Best)),
        row("TWINS-AT − AT, last", &|metric| difference(metric, Checkpoint::Last)),
        row("TWINS-AT − AT, best − last", &|metric| difference(metric, Checkpoint::Gap)),
    ]
}

/// A row of a choice: a column for each learning rate, with the correct validation images for both values of another setting.
fn choice(name: &str, arm: &ArmResults, setting: &str, values: [f64; 2], rates: &[f64]) -> String {
    let correct = |rate: f64, value: f64| {
        let candidate = Candidate::of_learning_rate(rate).with_setting(setting, value);
        let trial = arm.trials.iter().find(|trial| trial.candidate == candidate)?;
        let correct = trial.best.as_ref()?.robust.correct;
        let is_chosen = arm.chosen.as_ref() == Some(&candidate);
        Some(if is_chosen { format!("**{correct}**") } else { correct.to_string() })
    };
    let cell = |rate: &f64| {
        let found: Vec<String> = values.iter().filter_map(|value| correct(*rate, *value)).collect();
        if found.is_empty() { "not tried".to_owned() } else { found.join("; ") }
    };
    let cells: Vec<String> = rates.iter().map(cell).collect();
    format!("| {name} | {} |", cells.join(" | "))
}

/// The rows of the choices of the four methods.
fn choices([at, twins_at, trades, twins_trades]: [&ArmResults; 4], rates: &[f64]) -> [String; 4] {
    [
        choice("AT, weight decay 1e-5; 5e-4", at, "weight_decay", [1e-5, 5e-4], rates),
        choice("TWINS-AT, lambda 0.3; 1", twins_at, "lambda", [0.3, 1.0], rates),
        choice("TRADES, beta 3; 6", trades, "beta", [3.0, 6.0], rates),
        choice("TWINS-TRADES, lambda 0.3; 1", twins_trades, "lambda", [0.3, 1.0], rates),
    ]
}

/// A row of the first 134 steps: for each seed, both losses and the accuracy of the second epoch, and the step at which a value was not finite.
fn first_steps(name: &str, arm: &ArmResults) -> String {
    let list = |value: &dyn Fn(&RunResult) -> Option<String>| {
        let values: Vec<Option<String>> = arm.runs.iter().map(value).collect();
        if values.iter().all(Option::is_none) {
            return String::new();
        }
        let values: Vec<String> = values.into_iter().map(|value| value.unwrap_or("–".to_owned())).collect();
        values.join(", ")
    };
    let loss = |loss: Option<f64>| loss.map(|loss| format!("{loss:.2}"));
    let frozen = list(&|run| loss(run.epochs.get(1)?.loss_frozen));
    let adaptive = list(&|run| loss(Some(run.epochs.get(1)?.loss_adaptive)));
    let accuracy =
        list(&|run| Some(format!("{:.1}", run.epochs.get(1)?.train_adversarial_accuracy.percent())));
    let step = list(&|run| {
        let diverged = run.diverged.as_ref()?;
        Some((STEPS_PER_EPOCH * (diverged.epoch - 1) + diverged.step).to_string())
    });
    let cells = [name, &frozen, &adaptive, &accuracy, &step];
    cells.map(|cell| if cell.is_empty() { "| ".to_owned() } else { format!("| {cell} ") }).concat() + "|"
}

/// The lines of a trace of `benches/compare/wings.py` for a seed.
fn trace(file: &str, seed: u64) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(repository().join("docs/study").join(file)).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter(|line: &serde_json::Value| line["seed"] == seed).collect()
}

/// A row of a trace: losses, norm of the gradient, outputs of the frozen wing in the first, the middle and the last layer and the largest one,
/// growth of the weights.
fn traced(line: &serde_json::Value) -> String {
    let number = |value: &serde_json::Value| format!("{:.2}", value.as_f64().unwrap());
    let outputs = line["activations"].as_array().unwrap();
    let largest = outputs.iter().filter_map(serde_json::Value::as_f64).fold(0.0, f64::max);
    format!(
        "| {} | {} | {} | {} | {}, {}, {} | {largest:.2} | {}, {} |",
        line["step"],
        number(&line["frozen"]),
        number(&line["adaptive"]),
        number(&line["gradient"]),
        number(&outputs[0]),
        number(&outputs[10]),
        number(&outputs[20]),
        number(&line["weights"][0]),
        number(&line["weights"][1]),
    )
}

#[test]
fn the_tables_have_the_recorded_numbers() {
    let digits = recorded("digits.json");
    let [digits_at, digits_twins_at] = ["at", "twins-at"].map(|name| arm(&digits, name));
    let divergence = recorded("divergence.json");
    let gtsrb = recorded("gtsrb-20.json");
    let [at, twins_at, ..] = four_arms(&gtsrb);
    let all_images = recorded("gtsrb.json");
    let cifar = recorded("cifar-four.json");
    let tuning = recorded("gtsrb-20-tuning.json");
    let [probe_first, auto_lora] = ["probe-first", "auto-lora"].map(|name| arm(&tuning, name));
    let controls = recorded("gtsrb-20-controls.json");
    let [scaled_rate, half_batch, same_rate, random_init, shared_affine, frozen_only] =
        ["at-scaled-rate", "at-half-batch", "at-0.1", "random-init", "shared-affine", "frozen-only"]
            .map(|name| arm(&controls, name));
    let rates = [0.03, 0.1, 0.3, 0.9];
    let mut expected = Vec::from([
        means("AT", digits_at),
        means("TWINS-AT", digits_twins_at),
        differences("difference, points", digits_twins_at, digits_at),
    ]);
    expected.extend(
        [
            ("AT", "at"),
            ("AT, `gradient_clip = 1`", "at-clipped"),
            ("TWINS-AT", "twins-at"),
            ("TWINS-AT, `gradient_clip = 1`", "clipped-1"),
            ("TWINS-AT, `gradient_clip = 5`", "clipped-5"),
            ("TWINS-AT, lambda 0.1", "small-lambda"),
            ("TWINS-AT, weight decay 5e-3", "weight-decay"),
            ("TWINS-AT, warm-up over the 134 steps", "warm-up"),
            ("TWINS-AT, better pre-training", "six-classes"),
            ("AT, learning rate 0.03", "at-0.03"),
            ("TWINS-AT, learning rate 0.03", "twins-at-0.03"),
            ("TWINS-AT, learning rate 0.03, `gradient_clip = 1`", "clipped-1-0.03"),
            ("AT, learning rate 0.003", "at-0.003"),
            ("AT, learning rate 0.006", "at-0.006"),
            ("TWINS-AT, learning rate 0.003", "twins-at-0.003"),
        ]
        .map(|(name, of)| first_steps(name, arm(&divergence, of))),
    );
    let steps = trace("wings-0.1.jsonl", 0);
    let of_step = |step: u64| traced(steps.iter().find(|line| line["step"] == step).unwrap());
    expected.extend([1, 20, 40, 45, 50].map(of_step));
    expected.extend(methods(four_arms(&gtsrb)));
    let mut choices_of_gtsrb = choices(four_arms(&gtsrb), &rates);
    // The document says that the file does not have these numbers.
    choices_of_gtsrb[1] = choices_of_gtsrb[1].replace("not tried", "9; 16");
    expected.extend(choices_of_gtsrb);
    expected.extend([
        // Linear probe first, and AutoLoRa.
        means_with_choice("probe first (RoLI)", probe_first),
        means_with_choice("AutoLoRa", auto_lora),
        differences("probe first − AT", probe_first, at),
        differences("AutoLoRa − AT", auto_lora, at),
        choice("probe first", probe_first, "weight_decay", [1e-5, 5e-4], &rates),
        // Here too.
        choice("AutoLoRa", auto_lora, "weight_decay", [1e-5, 5e-4], &rates[..3]) + " 7; 7 |",
        // The controls.
        means("AT, learning rate × 1.3, which is 1 + lambda", scaled_rate),
        means("AT, batch normalisation over half the batch", half_batch),
        means("AT, learning rate of TWINS-AT", same_rate),
        means("AT, random initial weights", random_init),
        means("TWINS-AT, gamma and beta shared by the wings", shared_affine),
        means("frozen wing only, settings of TWINS-AT", frozen_only),
        differences("scaled learning rate − AT", scaled_rate, at),
        differences("half the batch − AT", half_batch, at),
        differences("lower learning rate − AT", same_rate, at),
        differences("random weights − AT", random_init, at),
        differences("TWINS-AT − scaled learning rate", twins_at, scaled_rate),
        differences("TWINS-AT − half the batch", twins_at, half_batch),
        differences("TWINS-AT − lower learning rate", twins_at, same_rate),
        differences("shared gamma and beta − TWINS-AT", shared_affine, twins_at),
        differences("frozen wing only − TWINS-AT", frozen_only, twins_at),
    ]);
    expected.extend(methods(four_arms(&all_images)));
    expected.extend(choices(four_arms(&all_images), &rates[..3]));
    expected.extend(methods(four_arms(&cifar)));
    expected.extend(choices(four_arms(&cifar), &[0.01, 0.03, 0.1]));
    let overfit = recorded("overfitting.json");
    expected.extend(overfitting(arm(&overfit, "at"), arm(&overfit, "twins-at")));
    let document = document();
    let rows = rows(&document);
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len(), "every row is that of a record");

    let gaps = |results: &StudyResults| {
        let [at, twins_at, trades, twins_trades] = four_arms(results).map(gap);
        format!("in points: AT {at}, TWINS-AT {twins_at}, TRADES {trades}, TWINS-TRADES {twins_trades}.")
    };
    let [probe_first, auto_lora] = [probe_first, auto_lora].map(gap);
    let [cifar_at, cifar_twins_at, ..] = four_arms(&cifar);
    let on_cifar = |metric, checkpoint| difference(cifar_twins_at, cifar_at, metric, checkpoint);
    let gap_on_cifar = on_cifar(ScoreKind::LastIterate, Checkpoint::Gap);
    let last_on_cifar = on_cifar(ScoreKind::LastIterate, Checkpoint::Last);
    let last_clean_on_cifar = on_cifar(ScoreKind::Clean, Checkpoint::Last);
    check_texts([
        format!("minus that of AT is {gap_on_cifar}:"),
        format!(
            "TWINS-AT are {last_on_cifar} points ahead of AT's under PGD-20, and {last_clean_on_cifar} in clean"
        ),
        gaps(&gtsrb),
        gaps(&all_images),
        gaps(&cifar),
        format!("PGD-20 is {probe_first} points for the probe first and {auto_lora} for AutoLoRa."),
    ]);
}

/// The smallest and the largest number of a list, rounded.
fn range(values: impl IntoIterator<Item = f64>, decimals: usize) -> String {
    let values: Vec<f64> = values.into_iter().collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{low:.decimals$} to {high:.decimals$}")
}

/// The epochs of each seed of two arms, in pairs.
fn pairs<'a>(arm: &'a ArmResults, other: &'a ArmResults) -> Vec<Vec<[&'a EpochResult; 2]>> {
    let runs = arm.runs.iter().zip(&other.runs);
    let pairs = runs.map(|(run, other)| {
        assert_eq!((run.seed, run.epochs.len()), (other.seed, other.epochs.len()));
        run.epochs.iter().zip(&other.epochs).map(|(epoch, other)| [epoch, other]).collect()
    });
    pairs.collect()
}

#[test]
fn the_text_has_the_epochs_of_all_images() {
    let all_images = recorded("gtsrb.json");
    let [at, twins_at] = ["at", "twins-at"].map(|name| arm(&all_images, name));
    let pairs = pairs(twins_at, at);
    assert!(pairs.len() == 3 && pairs.iter().all(|epochs| epochs.len() == 12));
    let ratios = |value: fn(&EpochResult) -> f64| {
        pairs.iter().flatten().map(move |[twins_at, at]| value(twins_at) / value(at))
    };
    let larger = ratios(|epoch| epoch.effective_learning_rate.unwrap()).map(|ratio| 100.0 * (ratio - 1.0));
    let gradient = ratios(|epoch| epoch.gradient_norm);
    let behind = |[twins_at, at]: &[&EpochResult; 2]| {
        at.train_adversarial_accuracy.percent() - twins_at.train_adversarial_accuracy.percent()
    };
    let first = pairs.iter().map(|epochs| behind(&epochs[0]));
    let last = pairs.iter().map(|epochs| behind(&epochs[11]));
    let frozen_loss = |lambda: f64| {
        let candidate = Candidate::of_learning_rate(0.3).with_setting("lambda", lambda);
        let trial = twins_at.trials.iter().find(|trial| trial.candidate == candidate).unwrap();
        trial.epochs.last().unwrap().loss_frozen.unwrap()
    };
    let [at_lambda_1, at_lambda_03] = [1.0, 0.3].map(frozen_loss);
    check_texts([
        format!("of TWINS-AT is {} % larger than that of AT", range(larger, 0)),
        format!("the norm of its gradient is {} times as large", range(gradient, 1)),
        format!("in the first epoch it classifies {} points less of", range(first, 0)),
        format!("than AT, in the last one {} points less", range(last, 0)),
        format!("stayed at chance (loss {at_lambda_1:.2}), with lambda 0.3 it did not ({at_lambda_03:.2})"),
    ]);
}

#[test]
fn the_text_has_the_last_epochs_of_the_controls() {
    let controls = recorded("gtsrb-20-controls.json");
    let last = |name: &str, value: fn(&EpochResult) -> String| {
        arm(&controls, name).runs.iter().map(|run| value(run.epochs.last().unwrap())).collect::<Vec<_>>()
    };
    let fits = last("frozen-only", |epoch| format!("{:.0}", epoch.train_adversarial_accuracy.percent()));
    let frozen = last("shared-affine", |epoch| format!("{:.2}", epoch.loss_frozen.unwrap()));
    let adaptive = last("shared-affine", |epoch| format!("{:.2}", epoch.loss_adaptive));
    check_texts([
        format!("fits {}, {} and {} % of its adversarial training images", fits[0], fits[1], fits[2]),
        format!("loss in the last epoch is {}, {} and {}", frozen[0], frozen[1], frozen[2]),
        format!("of the adaptive wing {}, {} and {}", adaptive[0], adaptive[1], adaptive[2]),
    ]);
}

#[test]
fn the_text_has_the_traces_in_pytorch() {
    let ends = [0, 1, 2].map(|seed| {
        let last = trace("wings-0.1.jsonl", seed).pop().unwrap();
        assert_eq!(last["diverged"], true);
        last["step"].clone()
    });
    let losses = [0, 1, 2].map(|seed| {
        let steps = trace("wings-0.03.jsonl", seed);
        assert!(steps.iter().all(|line| line.get("diverged").is_none()));
        let second = steps.iter().filter(|line| line["step"].as_u64().unwrap() > STEPS_PER_EPOCH as u64);
        let losses: Vec<f64> = second.map(|line| line["frozen"].as_f64().unwrap()).collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    });
    check_texts([
        format!("learning rate 0.1 ends at steps {}, {} and {} for seeds", ends[0], ends[1], ends[2]),
        format!("is {:.2}, {:.2} and {:.2}: two", losses[0], losses[1], losses[2]),
    ]);
}

/// The settings of the training of an arm.
fn training(study: &Study, arm: &str, chosen: Option<&Candidate>) -> TrainConfig {
    let job = study.runs().into_iter().find(|job| job.arm() == arm).unwrap();
    study.experiment(&job, chosen).unwrap().unwrap().config().training.clone()
}

#[test]
fn controls_have_the_settings_that_were_chosen() {
    let study = |file: &str| {
        StudyConfig::read(repository().join("examples/studies").join(file)).unwrap().check().unwrap()
    };
    let (methods, controls) = (study("gtsrb-20.toml"), study("gtsrb-20-controls.toml"));
    let (of_methods, of_controls) = (recorded("gtsrb-20.json"), recorded("gtsrb-20-controls.json"));
    let chosen = |name| training(&methods, name, Some(arm(&of_methods, name).chosen.as_ref().unwrap()));
    let (at, twins_at) = (chosen("at"), chosen("twins-at"));
    for (name, of, factor) in [
        ("at-scaled-rate", &at, 1.0 + twins_at.lambda),
        ("at-half-batch", &at, 1.0),
        ("at-0.1", &twins_at, 1.0),
        ("random-init", &at, 1.0),
        ("shared-affine", &twins_at, 1.0),
        ("frozen-only", &twins_at, 1.0),
    ] {
        let control = training(&controls, name, None);
        assert_eq!(control.learning_rate, factor * of.learning_rate, "{name}");
        assert_eq!(control.weight_decay, of.weight_decay, "{name}");
        assert_eq!(arm(&of_controls, name).learning_rate, Some(control.learning_rate), "{name}");
        // The frozen wing alone has no lambda.
        if control.method == of.method {
            assert_eq!(control.lambda, of.lambda, "{name}");
        }
    }
}
