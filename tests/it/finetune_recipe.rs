//! Where the settings of the example `finetune` come from: presets, files and options, and what excludes what.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use twins_testing::{example, repository};

fn finetune(folder: &Path, arguments: &[&str]) -> Output {
    let binary = example("finetune");
    Command::new(binary).current_dir(folder).args(arguments).output().unwrap()
}

/// The effective settings of the training, and the lines that say where they come from. Nothing is read or trained.
fn shown(folder: &Path, arguments: &[&str]) -> (Value, String) {
    let (mut settings, message) = shown_whole(folder, arguments);
    (settings["training"].take(), message)
}

/// The settings of the whole experiment.
fn shown_whole(folder: &Path, arguments: &[&str]) -> (Value, String) {
    let output = finetune(folder, &[&["--show-config"], arguments].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {message}");
    (serde_json::from_slice(&output.stdout).unwrap(), message)
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = finetune(folder, &[&["--show-config"], arguments].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !message.contains("panicked"), "{arguments:?}: {message}");
    message
}

const WEIGHTS: [&str; 6] = ["--weights", "robust.ckpt", "--arch", "resnet50", "--data", "folder:images"];

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn presets_are_the_published_settings() {
    let folder = tempfile::tempdir().unwrap();
    let show = |preset| shown(folder.path(), &[&WEIGHTS[..], &["--preset", preset]].concat());
    for (preset, weight_decay, lambda, crop) in
        [("paper-cifar", 1e-5, 1.0, json!(4)), ("paper-caltech", 1e-3, 0.4, Value::Null)]
    {
        let (config, sources) = show(preset);
        assert_eq!(config["method"], "twins-at");
        assert_eq!(config["weight_decay"], weight_decay);
        assert_eq!(config["lambda"], lambda);
        assert_eq!(config["augmentation"]["crop_padding"], crop);
        assert_eq!(config["augmentation"]["resized_crop"].is_object(), crop.is_null());
        assert_eq!(config["augmentation"]["horizontal_flip"], true);
        assert_eq!(
            (&config["epochs"], &config["batch_size"], &config["learning_rate"]),
            (&json!(60), &json!(128), &json!(0.003))
        );
        assert_eq!(config["schedule"], json!({"kind": "multi-step", "milestones": [30, 50], "gamma": 0.1}));
        assert!(sources.contains(&format!("preset {preset}")), "{sources}");
        assert_eq!(config["validation"]["fraction"], "none");
        assert!(sources.contains("validation: none") && sources.contains("the last checkpoint"), "{sources}");
    }
    let caltech = [&WEIGHTS[..], &["--preset", "paper-caltech"]].concat();
    for (more, side) in [(&[][..], json!(256)), (&["--augmentation", "imagenet"], Value::Null)] {
        let (config, _) = shown(folder.path(), &[&caltech[..], more].concat());
        assert_eq!(config["augmentation"]["resized_crop"]["shorter_side"], side, "{more:?}");
    }
    let preset = [&WEIGHTS[..], &["--preset", "paper-cifar"]].concat();
    for (more, fraction) in [
        (["--validation", "0.25"], json!(0.25)),
        (["--set", "validation.fraction=0.25"], json!(0.25)),
        (["--set", "validation=none"], json!("none")),
    ] {
        let (config, _) = shown(folder.path(), &[&preset[..], &more].concat());
        assert_eq!(config["validation"]["fraction"], fraction, "{more:?}");
    }
    for (more, part) in [
        (["--method", "auto-lora"], "the schedule robust-accuracy needs a validation"),
        (["--set", "early_stopping=3"], "early_stopping needs a validation"),
        (["--validation", "some"], "give a fraction such as 0.1, or none"),
    ] {
        let message = refused(folder.path(), &[&preset[..], &more].concat());
        assert!(message.contains(part), "{more:?}: {message}");
    }
}

#[test]
fn the_frozen_wing_starts_from_the_weights_unless_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let show = |arguments: &[&str]| shown(folder.path(), &[&WEIGHTS[..], arguments].concat());
    assert_eq!(show(&[]).0["frozen_from"], "weights");
    let (config, sources) = show(&["--frozen-from", "file"]);
    assert_eq!(config["frozen_from"], "file");
    assert!(sources.contains("frozen_from (--frozen-from)"), "{sources}");
    let message = refused(folder.path(), &[&WEIGHTS[..], &["--frozen-from", "wing"]].concat());
    assert!(message.contains("known are weights, file"), "{message}");
    // The built-in job has no file.
    assert!(refused(folder.path(), &["--frozen-from", "file"]).contains("--weights"));
    let message = refused(folder.path(), &["--set", "frozen_from=file"]);
    assert!(message.contains("frozen_from is file (--set)") && message.contains("--weights"), "{message}");
}

#[test]
fn options_go_over_the_file_and_the_file_over_the_preset() {
    let folder = tempfile::tempdir().unwrap();
    written(
        folder.path(),
        "run.toml",
        "learning_rate = 0.01\nweight_decay = 0.5\nepochs = 6\nseed = 7\n[adversary]\nepsilon = 0.1\n\
         [validation]\nfraction = 0.2\n[validation.protocol]\nsteps = 33\n",
    );
    let arguments = ["--preset", "paper-caltech", "--config", "run.toml", "--lr", "0.2", "--epochs", "12"];
    let (config, sources) = shown(folder.path(), &[&WEIGHTS[..], &arguments[..]].concat());
    assert_eq!(config["learning_rate"], 0.2, "the option");
    assert_eq!(config["weight_decay"], 0.5, "the file");
    assert_eq!(config["lambda"], 0.4, "the preset");
    assert_eq!(config["seed"], 7, "the file, because --seed is not given");
    // What follows from other settings: the schedule from the epochs, the step from epsilon, validation from training.
    assert_eq!(config["schedule"]["milestones"], json!([6, 10]));
    assert_eq!(config["adversary"]["step_size"], 0.025);
    let validation = &config["resolved"]["validation"];
    assert_eq!(validation["threat"], json!({"norm": "linf", "epsilon": 0.1}));
    assert_eq!(
        (&validation["steps"], &validation["step_size"], &validation["start"]),
        (&json!(33), &json!(0.025), &json!("clean"))
    );
    assert!(sources.contains("validation: PGD-33 Linf 0.1\ntest: PGD-20 Linf 0.1\n"), "{sources}");
    for part in
        ["learning_rate (--lr)", "weight_decay (run.toml)", "epochs (--epochs)", "preset paper-caltech"]
    {
        assert!(sources.contains(part), "{part}: {sources}");
    }
    let (config, _) = shown(folder.path(), &["--config", "run.toml", "--seed", "0"]);
    assert_eq!(
        (&config["seed"], &config["batch_size"]),
        (&json!(0), &json!(64)),
        "the built-in job is the base"
    );
}

#[test]
fn a_step_is_divided_by_options_and_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    written(folder.path(), "run.toml", "accumulate = 2\nsync_statistics = true\n");
    for (arguments, accumulate, synchronised, source) in [
        (&[][..], 1, false, "the settings of the built-in data"),
        (&["--config", "run.toml"], 2, true, "accumulate (run.toml), sync_statistics (run.toml)"),
        (&["--config", "run.toml", "--accumulate", "4"], 4, true, "accumulate (--accumulate)"),
        (&["--sync-statistics", "--devices", "2"], 1, true, "sync_statistics (--sync-statistics)"),
    ] {
        let (config, sources) = shown(folder.path(), arguments);
        assert_eq!(config["accumulate"], accumulate, "{arguments:?}");
        assert_eq!(config["sync_statistics"], synchronised, "{arguments:?}");
        assert_eq!(config["devices"], Value::Null, "no setting: a run may be resumed with another number");
        assert!(sources.contains(source), "{sources}");
    }
    for (arguments, part) in [
        (&["--devices", "0"][..], "give at least 1"),
        (&["--devices", "2", "--device", "wgpu"], "name every device, as in --device"),
        (&["--devices", "2", "--device", "cpu,cpu"], "the devices are cpu,cpu"),
        (&["--accumulate", "0"], "accumulate is 0"),
        (
            &["--accumulate", "33"],
            "batch_size 64 with accumulate 33 on 1 device gives 0 images for each of 2 wings",
        ),
        (&["--accumulate", "9"], "gives 3 images for each of 2 wings, but at least 4 are needed"),
        (&["--devices", "2", "--accumulate", "5"], "lower accumulate to 4"),
    ] {
        let message = refused(folder.path(), arguments);
        assert!(message.contains(part), "{arguments:?}: {message}");
    }
}

#[test]
fn any_setting_is_given_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    written(
        folder.path(),
        "run.toml",
        "ema_decay = 0.9\nmomentum = 0.5\n[schedule]\nkind = \"multi-step\"\nmilestones = [1]\ngamma = 0.5\n",
    );
    let set = [
        "--config",
        "run.toml",
        "--set",
        "ema_decay=0.999",
        "--set",
        "schedule.kind=cosine",
        "--set",
        "schedule.final_fraction=0.01",
        "--set",
        "freeze=[\"conv1\", \"layer1\"]",
        "--set",
        "validation.protocol.steps = 33",
        "--set",
        "non_finite=skip-batch",
        "--set",
        "adversary.epsilon=0.1",
        "--lr",
        "0.3",
    ];
    let (config, sources) = shown(folder.path(), &set);
    assert_eq!(config["ema_decay"], 0.999, "over the file");
    assert_eq!(config["momentum"], 0.5, "the file's");
    assert_eq!(config["schedule"], json!({"kind": "cosine", "final_fraction": 0.01}), "the table as a whole");
    assert_eq!(config["freeze"], json!(["conv1", "layer1"]));
    assert_eq!(config["non_finite"], "skip-batch");
    assert_eq!(config["learning_rate"], 0.3);
    // What follows from other settings: the step from epsilon, validation from training but for what is given.
    assert_eq!(config["adversary"]["step_size"], 0.025);
    let validation = &config["resolved"]["validation"];
    assert_eq!((&validation["steps"], &validation["threat"]["epsilon"]), (&json!(33), &json!(0.1)));
    for part in ["schedule (--set)", "ema_decay (--set)", "adversary.epsilon (--set)", "learning_rate (--lr)"]
    {
        assert!(sources.contains(part), "{part}: {sources}");
    }
    for (arguments, step_size) in [
        (&["--epsilon", "8/255", "--step-size", "1/255"][..], 1.0 / 255.0),
        // A quarter of epsilon, as in the settings of the built-in data.
        (&["--set", "adversary.epsilon=8/255"], 2.0 / 255.0),
    ] {
        let (config, _) = shown(folder.path(), arguments);
        let value = |name: &str| config["adversary"][name].as_f64().unwrap();
        assert_eq!((value("epsilon"), value("step_size")), (8.0 / 255.0, step_size));
    }
    let (config, _) = shown(folder.path(), &["--set", "method=trades", "--set", "seed=4"]);
    assert_eq!((&config["method"], &config["seed"]), (&json!("trades"), &json!(4)));

    for (arguments, parts) in [
        (
            &["--set", "epochs=3", "--set", "ema_deca=0.9"][..],
            ["--set ema_deca=0.9: unknown key", "did you mean \"ema_decay\"?"],
        ),
        (&["--set", "adversary.stepz=3"], ["\"adversary.stepz\"", "did you mean \"steps\"?"]),
        (&["--set", "epochs=many"], ["--set epochs=many: invalid type", "correct it"]),
        (&["--set", "epochs=0.5"], ["--set epochs=0.5: invalid type", "correct it"]),
        (&["--set", "adversary.epsilon=8:255"], ["--set adversary.epsilon=8:255", "8/255"]),
        (&["--set", "adversary.epsilon=8"], ["epsilon 8 is above 1", "did you mean 8/255?"]),
        (&["--epsilon", "8"], ["epsilon 8 is above 1", "did you mean 8/255?"]),
        (&["--set", "epochs"], ["--set epochs has no value", "give KEY=VALUE"]),
        (&["--set", "=3"], ["names no setting", "give KEY=VALUE"]),
        (&["--set", "ema_decay=1.5"], ["ema", "1.5"]),
        (
            &["--set", "learning_rate=0.1", "--lr", "0.2"],
            ["learning_rate is given by --lr and by --set", "leave one"],
        ),
        (&["--set", "lambda=0.5", "--method", "at"], ["lambda is 0.5 (--set)", "at (--method)"]),
    ] {
        let message = refused(folder.path(), arguments);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let message = refused(folder.path(), &["--epsilon", "8/0"]);
    assert!(message.contains("`8/0` is no length") && message.contains("8/255"), "{message}");
}

#[test]
fn measurements_follow_the_ball_of_the_training_and_nothing_else_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let kl = ["--set", "adversary.loss=kl", "--set", "adversary.start={ gaussian = 0.001 }"];
    for (arguments, measured) in [
        (&[][..], "Linf 4/255"),
        (&["--epsilon", "0.1"], "Linf 0.1"),
        (&["--set", "adversary.norm=l2", "--epsilon", "0.5"], "L2 0.5"),
        (
            &[
                "--set",
                "validation.protocol.threat={ norm = \"linf\", epsilon = \"8/255\" }",
                "--epsilon",
                "0.1",
            ],
            "Linf 8/255",
        ),
    ] {
        let (config, message) = shown(folder.path(), &[&kl[..], arguments].concat());
        assert_eq!(config["adversary"]["loss"], "kl");
        let validation = &config["resolved"]["validation"];
        assert_eq!((&validation["loss"], &validation["start"]), (&json!("cross-entropy"), &json!("clean")));
        let expected = format!("validation: PGD-10 {measured}\ntest: PGD-20 {measured}\n");
        assert!(message.ends_with(&expected), "{arguments:?}: {message}");
    }
    for setting in ["adversary", "validation.protocol"] {
        let (loss, start) = (format!("{setting}.loss=kl"), format!("{setting}.start=clean"));
        let message = refused(folder.path(), &["--set", &loss, "--set", &start]);
        assert!(message.contains("gradient is zero") && message.contains("gaussian = 0.001"), "{message}");
    }
    // The settings of a run are read back, and what followed from them follows anew.
    let (config, _) = shown(folder.path(), &[]);
    written(folder.path(), "config.json", &config.to_string());
    let (_, message) = shown(folder.path(), &["--config", "config.json", "--epsilon", "0.1"]);
    assert!(message.contains("validation: PGD-10 Linf 0.1\n"), "{message}");
}

#[test]
fn contradictions_name_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    for (file, arguments, parts) in [
        ("", &["--method", "at", "--lambda", "0.5"][..], ["lambda is 0.5 (--lambda)", "at (--method)"]),
        ("lambda = 0.5", &["--method", "trades"], ["lambda is 0.5 (run.toml)", "trades (--method)"]),
        ("method = \"twins-at\"", &["--beta", "3"], ["beta is 3 (--beta)", "twins-at (run.toml)"]),
        ("", &["--beta", "3"], ["beta is 3", "twins-at (the settings of the built-in data)"]),
        ("batch_size = 1", &["--method", "twins-at"], ["batch_size is 1 (run.toml)", "twins-at (--method)"]),
        (
            "batch_size = 7",
            &["--method", "twins-at"],
            ["batch_size is 7 (run.toml)", "at least 4 images each"],
        ),
        (
            "[schedule]\nkind = \"multi-step\"\nmilestones = [5, 30]\ngamma = 0.1",
            &["--epochs", "10"],
            ["milestones has 30 (run.toml)", "10 epochs (--epochs)"],
        ),
        ("warmup_epochs = 9", &["--epochs", "3"], ["warmup_epochs is 9 (run.toml)", "3 epochs (--epochs)"]),
        (
            "awp.warmup_epochs = 3",
            &["--epochs", "3"],
            ["awp.warmup_epochs is 3 (run.toml)", "3 epochs (--epochs)"],
        ),
        (
            "[epsilon_schedule]\nclean_epochs = 1\nrise_epochs = 2.5",
            &["--epochs", "3"],
            ["clean_epochs + rise_epochs is 3.5 (run.toml)", "3 epochs (--epochs)"],
        ),
        (
            "epochs = 2\n[tuning]\nkind = \"probe-then-full\"\nprobe_epochs = 2",
            &[],
            ["probe_epochs is 2 (run.toml)", "2 epochs (run.toml)"],
        ),
    ] {
        written(folder.path(), "run.toml", file);
        let message = refused(folder.path(), &[&["--config", "run.toml"], arguments].concat());
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let cifar =
        ["--weights", "w.pt", "--arch", "resnet50", "--data", "cifar10:d", "--preset", "paper-caltech"];
    let message = refused(folder.path(), &cifar);
    assert!(message.contains("256/224") && message.contains("cifar10:d"), "{message}");
    // The second is the former name of the option.
    for option in ["--preprocessing", "--framing"] {
        shown(folder.path(), &[&cifar[..], &[option, "as-stored"]].concat());
    }
    // lambda is not given but the preset's: a method without it is no contradiction.
    shown(folder.path(), &[&WEIGHTS[..], &["--preset", "paper-caltech", "--method", "at"]].concat());
}

#[test]
fn bad_files_are_explained_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, parts) in [
        ("a.toml", "epochs = 3\nlerning_rate = 1\n", ["a.toml: line 2: unknown key", "\"learning_rate\"?"]),
        ("a.toml", "epochs = 3\n\nepochs 4\n", ["a.toml: line 3", "leave the setting out"]),
        ("a.json", "{\n\"lambda\": \"big\"\n}", ["a.json: line 2", "invalid type"]),
        ("a.yaml", "epochs: 3", ["a.yaml", ".toml or .json"]),
    ] {
        written(folder.path(), name, text);
        let message = refused(folder.path(), &["--config", name]);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let message = refused(folder.path(), &["--config", "missing.toml"]);
    assert!(message.contains("missing.toml") && message.contains("give the path"), "{message}");
}

#[test]
fn a_tiny_job_leaves_its_report_and_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    written(
        folder.path(),
        "run.toml",
        "[validation]\nfraction = 0.2\nprotocol.threat = { norm = \"linf\", epsilon = \"16/255\" }\n",
    );
    let arguments = [
        "--limit",
        "60",
        "--epochs",
        "2",
        "--batch-size",
        "20",
        "--config",
        "run.toml",
        "--report-images",
        "8",
        "--log",
        "jsonl,csv,tensorboard,csv",
    ];
    let weights = repository().join("examples/studies/letters.safetensors");
    let others = ["--weights", weights.to_str().unwrap(), "--report-attacks", "fgsm", "--out", "run"];
    let output = finetune(folder.path(), &[&arguments[..], &others].concat());
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("epochs (--epochs)") && printed.contains("config.json"), "{printed}");
    assert!(printed.contains("of the time waiting for data"), "{printed}");
    // Validation's ball, not the training's 4/255.
    for line in ["  validation: PGD-10 Linf 16/255\n", " test images, PGD-20 Linf 16/255\n"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }

    let run = folder.path().join("run");
    let html = fs::read_to_string(run.join("report.html")).unwrap();
    let report: Value = serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap();
    let config: Value =
        serde_json::from_slice(&fs::read(run.join("twins-at").join("config.json")).unwrap()).unwrap();
    assert_eq!(config["validation"]["fraction"], 0.2);
    assert_eq!((&config["epochs"], &config["method"]), (&json!(2), &json!("twins-at")));
    let protocol = &report["result"]["protocol"];
    assert_eq!((&protocol["steps"], &protocol["loss"]), (&json!(20), &json!("cross-entropy")));
    assert_eq!(protocol["threat"], config["resolved"]["validation"]["threat"]);
    let clean = &report["result"]["test"]["clean"];
    let (correct, total) = (clean["correct"].as_u64().unwrap(), clean["total"].as_u64().unwrap());
    let score = format!("<td>{:.2} %<br/>", 100.0 * correct as f64 / total as f64);
    assert!(
        html.contains(&score) && html.contains(&format!("<small>{correct} of {total}</small>")),
        "{score}"
    );
    let log =
        |file: &str| fs::read_to_string(run.join("twins-at").join("log").join(file)).unwrap().lines().count();
    // Two epochs of three steps each; CSV has a header, and no line twice though it was asked for twice.
    assert_eq!(["steps.jsonl", "epochs.jsonl", "steps.csv", "epochs.csv"].map(log), [6, 2, 7, 3]);
    assert!(run.join("twins-at").join("log/events.out.tfevents.0.burn-twins").exists());
    for line in fs::read_to_string(run.join("twins-at").join("metrics.jsonl")).unwrap().lines() {
        let metrics: Value = serde_json::from_str(line).unwrap();
        let loss = format!("<td>{:.4}</td>", metrics["loss"].as_f64().unwrap());
        assert!(html.contains(&loss), "{loss}");
        assert!(!metrics["wing_drift"].as_object().unwrap().is_empty(), "{line}");
        let layers = metrics["layers"].as_object().unwrap();
        let update = |layer: &Value| layer["relative_update"].as_f64().unwrap();
        // A step of 0.1 moves no weight by its own length, and every weight somewhat.
        assert!(
            layers.len() > 3 && layers.values().all(|layer| update(layer) > 0.0 && update(layer) < 1.0),
            "{line}"
        );
    }
    assert!(html.contains("<th scope=\"col\">PGD-20 Linf 16/255</th>") && html.contains("FGSM Linf 16/255"));
    assert!(html.contains("Robust accuracy is measured with PGD-10 Linf 16/255."));
    assert!(html.contains("FGSM") && html.contains("<svg"));
    assert_eq!(html.matches("://").count(), html.matches("http://www.w3.org/2000/svg").count());
}
