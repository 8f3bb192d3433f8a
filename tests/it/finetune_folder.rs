//! A folder of images without sub-folders train and test: what is tested on was never trained on, and `evaluate` finds it again.
//! What becomes of the head of one's own model, and of a run that is continued with other settings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use burn_dataset::Dataset;
use burn_twins::data::{DataSource, ImageDataset, Limit};
use burn_twins::experiment::{DataConfig, Parts, TestImages, TestPart, silent};
use burn_twins::models::{Architecture, HeldOut, ModelCard, ModelConfig, Net, load_model, save_model};
use image::{Rgb, RgbImage};
use serde_json::Value;
use twins_testing::example;

fn run(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    let binary = example(name);
    Command::new(binary).current_dir(folder).args(arguments).output().unwrap()
}

fn succeed(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(name, folder, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}\n{out}\n{err}");
    out.into_owned()
}

fn fail(name: &str, folder: &Path, arguments: &[&str]) -> String {
    let output = run(name, folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && !message.contains("panicked"), "{arguments:?}: {message}");
    message
}

/// Images of 32 x 32 pixels, so many of each class, no two of one colour.
fn images(folder: &Path, counts: [(&str, u8); 2]) -> DataSource {
    for (class, (name, count)) in counts.into_iter().enumerate() {
        fs::create_dir_all(folder.join(name)).unwrap();
        for index in 0..count {
            let colour = if class == 0 { Rgb([200, index, 0]) } else { Rgb([0, index, 200]) };
            let file = folder.join(name).join(format!("{index:03}.png"));
            RgbImage::from_pixel(32, 32, colour).save(file).unwrap();
        }
    }
    DataSource::Folder(folder.to_owned())
}

fn parts(source: &DataSource, [train_images, test_images]: [Option<Limit>; 2]) -> Result<Parts, String> {
    let data = DataConfig { train_images, test_images, ..DataConfig::new(source.clone()) };
    Parts::open(&data, &silent()).map_err(|error| error.to_string())
}

fn pixels(dataset: &dyn ImageDataset) -> BTreeSet<Vec<u8>> {
    (0..dataset.len()).map(|index| dataset.get(index).unwrap().image.pixels.to_vec()).collect()
}

/// A small net for the classes blue and red.
fn model(path: &Path, held_out: Option<HeldOut>) -> (Net, ModelCard) {
    let net = ModelConfig::new(Architecture::TinyResNet, 2).with_seed(5).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, vec!["blue".to_owned(), "red".to_owned()]).unwrap();
    let card = card.with_held_out(held_out);
    save_model(path, &net, &card).unwrap();
    (net, card)
}

#[test]
fn a_fifth_of_a_folder_without_parts_is_tested_on_and_never_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("images");
    let source = images(&root, [("blue", 10), ("red", 15)]);
    let Parts { train, test, held_out, .. } = parts(&source, [None; 2]).unwrap();
    assert_eq!(held_out, Some(HeldOut { images: 25, fraction: 0.2, seed: 0 }));
    // A fifth of 10 and of 15.
    assert_eq!(test.labels().unwrap(), [0, 0, 1, 1, 1]);
    let (trained, tested) = (pixels(train.as_ref()), pixels(test.as_ref()));
    assert!(trained.is_disjoint(&tested));
    assert_eq!((trained.len(), tested.len()), (20, 5), "no two images are the same, and none is lost");
    let limited = parts(&source, [Some(Limit::Stratified(3)), Some(Limit::Stratified(2))]).unwrap();
    assert!(pixels(limited.train.as_ref()).is_subset(&trained) && limited.train.len() == 3);
    assert!(pixels(limited.test.as_ref()).is_subset(&tested) && limited.test.len() == 2);

    // An evaluation of a model that was trained so.
    let (_, own) = model(&folder.path().join("model.safetensors"), held_out.clone());
    let opened = |card: Option<&ModelCard>, chosen| {
        TestPart::open(&DataConfig::new(source.clone()), None, card, chosen, &silent())
    };
    let found = opened(Some(&own), None).unwrap();
    assert_eq!((pixels(found.images.as_ref()), found.held_out), (tested.clone(), held_out));
    // Others were not trained on it, as far as anyone knows; exported ones are told apart by the option.
    let (_, foreign) = model(&folder.path().join("foreign.safetensors"), None);
    for (card, asked, expected) in [
        (Some(&foreign), None, 25),
        (None, None, 25),
        (Some(&own), Some(TestImages::All), 25),
        (None, Some(TestImages::HeldOut), 5),
    ] {
        let found = opened(card, asked).unwrap().images;
        assert_eq!(found.len(), expected, "{asked:?}");
        assert!(expected == 25 || pixels(found.as_ref()) == tested);
    }

    // With one image more, the split is another one.
    RgbImage::from_pixel(32, 32, Rgb([9, 9, 9])).save(root.join("red/new.png")).unwrap();
    let message = opened(Some(&own), None).err().unwrap().to_string();
    assert!(message.contains("25 images") && message.contains("has 26"), "{message}");
    assert!(message.contains("--test-images all"), "{message}");
    assert_eq!(opened(Some(&own), Some(TestImages::All)).unwrap().images.len(), 26);

    let few = images(&folder.path().join("few"), [("blue", 1), ("red", 1)]);
    let message = parts(&few, [None; 2]).err().unwrap().to_string();
    assert!(message.contains("too few") && message.contains("sub-folders train and test"), "{message}");

    // Parts of its own are taken as they are.
    let divided = folder.path().join("divided");
    images(&divided.join("train"), [("blue", 4), ("red", 4)]);
    images(&divided.join("val"), [("blue", 2), ("red", 3)]);
    let source = DataSource::Folder(divided);
    let parts = parts(&source, [None; 2]).unwrap();
    assert_eq!((parts.train.len(), parts.test.len(), parts.held_out), (8, 5, None));
    assert!(parts.validation.is_none(), "val is the test part");
    let message = TestPart::open(&DataConfig::new(source), None, None, Some(TestImages::All), &silent())
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("has a test part"), "{message}");
}

/// A run of a second or two on `images`, starting from a model file.
fn job<'a>(weights: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["--arch", "tiny-resnet", "--data", "folder:images", "--method", "at", "--epochs", "1"];
    let quick = ["--steps", "1", "--batch-size", "8", "--report-images", "0"];
    [&["--weights", weights, "--out", out], &fixed[..], &quick[..], more].concat()
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_evaluation_preprocesses_images_as_the_training_did() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    images(&here.join("images"), [("blue", 20), ("red", 20)]);
    model(&here.join("model.safetensors"), None);
    succeed("finetune", here, &job("model.safetensors", "run", &["--preprocessing", "20/16"]));
    let evaluate = |more: &[&str]| {
        let fixed = [
            "--weights",
            "run/at/model.safetensors",
            "--data",
            "folder:images",
            "--attack",
            "clean",
            "--json",
            "e.json",
        ];
        let output = run("evaluate", here, &[&fixed[..], more].concat());
        assert!(output.status.success(), "{output:?}");
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (out, err, json(here.join("e.json"))["config"]["preprocessing"].clone())
    };
    let (out, err, used) = evaluate(&[]);
    assert!(out.contains("preprocessing of the training: 20/16") && !err.contains("warning"), "{out}{err}");
    assert_eq!(used, "20/16");
    let (_, err, used) = evaluate(&["--preprocessing", "as-stored"]);
    assert!(err.contains("--preprocessing as-stored: the model was trained with 20/16"), "{err}");
    assert_eq!(used, "as-stored");
}

#[test]
fn an_evaluation_measures_what_the_run_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    images(&here.join("images"), [("blue", 30), ("red", 30)]);
    model(&here.join("model.safetensors"), None);
    let said = succeed("finetune", here, &job("model.safetensors", "run", &["--seed", "3"]));
    assert!(said.contains("12 of 60 images (20 % of each class, drawn with seed 0) are held out"), "{said}");
    assert!(said.contains("with at: 48 images, 1 epochs"), "{said}");
    let report = json(here.join("run/report.json"));
    assert_eq!(report["held_out"]["images"], 60, "{report}");
    let clean = &report["result"]["test"]["clean"];
    assert_eq!(clean["total"], 12, "{report}");
    let html = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(html.contains("the test images are out of 20 % of all 60"), "the report says so");

    let model = "run/at/model.safetensors";
    let evaluate = |weights: &str, more: &[&str]| {
        let fixed = ["--data", "folder:images", "--attack", "clean", "--json", "e.json"];
        let said = succeed("evaluate", here, &[&["--weights", weights], &fixed[..], more].concat());
        (said, json(here.join("e.json")))
    };
    let (said, evaluation) = evaluate(model, &[]);
    assert!(said.contains("only these are measured"), "{said}");
    assert_eq!(evaluation["clean"], *clean);
    assert_eq!(evaluation["config"]["held_out"]["seed"], 0, "{evaluation}");
    assert_eq!(evaluate(model, &["--test-images", "all"]).1["clean"]["total"], 60);
    // The record goes along where the model is converted; an export for PyTorch has no place for it.
    succeed("convert", here, &[model, "--out", "again.safetensors"]);
    assert_eq!(evaluate("again.safetensors", &[]).1["clean"], *clean);
    assert_eq!(evaluate("model.safetensors", &[]).1["clean"]["total"], 60, "not trained on this folder");
}

#[test]
fn a_folder_with_val_and_test_is_validated_on_val() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for (part, counts) in [("train", [10, 12]), ("val", [3, 4]), ("test", [5, 6])] {
        let [blue, red] = counts;
        images(&here.join("images").join(part), [("blue", blue), ("red", red)]);
    }
    model(&here.join("model.safetensors"), None);
    let own = "on the data's own validation part instead of a split of the training part";

    let said = succeed("finetune", here, &job("model.safetensors", "run", &[]));
    // All of train is trained on, and the epoch is measured on the 7 images of val.
    assert!(said.contains("with at: 22 images, 1 epochs") && said.contains(own), "{said}");
    let metrics = fs::read_to_string(here.join("run/at/metrics.jsonl")).unwrap();
    let epoch: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert_eq!(epoch["validation_clean_accuracy"]["total"], 7, "{epoch}");
    let report = json(here.join("run/report.json"));
    assert_eq!(
        (&report["validation_images"], &report["result"]["test"]["clean"]["total"]),
        (&7.into(), &11.into())
    );
    let html = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(html.contains("22 for training, 7 for validation, 11 for the test"), "the report says so");

    // None is an answer, a split is a contradiction; a preset, which has no validation, gives way.
    fn show<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["--show-config"], &job("model.safetensors", "other", more)[..]].concat()
    }
    let said = |more: &[&str]| {
        let output = run("finetune", here, &show(more));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{more:?}: {message}");
        message
    };
    let preset = ["--preset", "paper-cifar"];
    assert!(said(&preset).contains(own));
    // The settings that it prints, with the fraction, are read back.
    let shown = run("finetune", here, &show(&preset));
    fs::write(here.join("shown.json"), shown.stdout).unwrap();
    assert!(said(&[&preset[..], &["--config", "shown.json"]].concat()).contains(own));
    for none in [["--validation", "none"], ["--set", "validation=none"]] {
        assert!(said(&none).contains("validation: none, the data's validation part is not used"), "{none:?}");
    }
    fs::write(here.join("split.toml"), "[validation]\nfraction = 0.2\n").unwrap();
    fs::write(here.join("none.toml"), "validation = \"none\"\n").unwrap();
    let more = ["--preset", "paper-cifar", "--config", "none.toml"];
    assert!(said(&more).contains("validation: none, the data's validation part is not used"));
    for (more, setting) in [
        (["--validation", "0.1"], "validation.fraction is 0.1 (--validation)"),
        (["--set", "validation.fraction=0.1"], "validation.fraction is 0.1 (--set)"),
        (["--set", "validation.seed=3"], "validation.seed is 3 (--set)"),
        (["--config", "split.toml"], "validation.fraction is 0.2 (split.toml)"),
    ] {
        let message = fail("finetune", here, &show(&more));
        assert!(message.contains(setting) && message.contains("--validation none"), "{more:?}: {message}");
    }
}

#[test]
fn a_head_for_the_same_classes_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    images(&here.join("images"), [("blue", 20), ("red", 20)]);
    let (net, _) = model(&here.join("model.safetensors"), None);
    let logits = |net: Net| {
        let images = Tensor::<4>::full([1, 3, 32, 32], 0.3, &Device::flex());
        net.valid().forward(images).into_data().try_to_vec::<f32>().unwrap()
    };
    let before = logits(net);
    // The head alone is trained, and by steps too small to be seen.
    let still = ["--set", "tuning.kind=linear-probe", "--lr", "1e-12", "--weight-decay", "0"];
    for (out, more, line, kept) in [
        ("kept", &[][..], "the weights' head is kept", true),
        ("new", &["--new-head"], "a new head is drawn: --new-head", false),
    ] {
        let said = succeed("finetune", here, &job("model.safetensors", out, &[&still[..], more].concat()));
        assert!(said.contains(line), "{said}");
        let (tuned, _) = load_model(here.join(out).join("at/model.safetensors"), &Device::flex()).unwrap();
        // Ten steps of 1e-12 are below the rounding of weights of 0.1.
        let same = logits(tuned).iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-6);
        assert_eq!(same, kept, "{out}");
        assert_eq!(json(here.join(out).join("report.json"))["head"], out);
    }

    // One's own model once more: the part held out is the same, and with other images it is another one.
    let own = "kept/at/model.safetensors";
    let warned = |out: &str| {
        let output = run("finetune", here, &job(own, out, &still));
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{message}");
        message.contains("fine-tuned on a folder of 40 images, this one has 41")
    };
    assert!(!warned("again"));
    RgbImage::new(32, 32).save(here.join("images/red/new.png")).unwrap();
    assert!(warned("grown"));
    let message = fail("finetune", here, &job(own, "kept", &["--force"]));
    assert!(message.contains("kept/at/model.safetensors are of the run that --force deletes"), "{message}");
    assert!(here.join(own).exists());

    // Another name, then another number of classes.
    fs::rename(here.join("images/red"), here.join("images/violet")).unwrap();
    let said = succeed("finetune", here, &job("model.safetensors", "named", &still));
    assert!(
        said.contains("a new head is drawn: the weights' classes are blue, red, the data's blue, violet"),
        "{said}"
    );
    images(&here.join("images"), [("green", 8), ("red", 8)]);
    let said = succeed("finetune", here, &job("model.safetensors", "more", &still));
    assert!(said.contains("a new head is drawn: the weights have 2 classes and the data has 4"), "{said}");
}

#[test]
fn a_run_goes_on_with_its_own_weights_data_and_input_alone() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    images(&here.join("images"), [("blue", 20), ("red", 20)]);
    model(&here.join("model.safetensors"), None);
    succeed("finetune", here, &job("model.safetensors", "run", &[]));
    let trained = fs::read(here.join("run/at/model.safetensors")).unwrap();
    let report = fs::read(here.join("run/report.json")).unwrap();
    let resumed = |weights, more: &[&'static str]| {
        fail("finetune", here, &job(weights, "run", &[&["--resume"], more].concat()))
    };
    let message = resumed("model.safetensors", &["--upsample", "48", "--normalisation", "cifar10"]);
    for part in
        ["run/at holds a run with other settings", "model.upsampling was null and is now [48,48]", "--force"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(message.contains("model.normalisation was null and is now {\"mean\":[0.49"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    let message = resumed("model.safetensors", &["--limit", "10", "--new-head", "--preprocessing", "32/32"]);
    for part in [
        "data.train_images was null and is now 10",
        "images.train was 32 and is now 10",
        "head was \"kept\" and is now \"new\"",
        "data.preprocessing was \"as-stored\" and is now \"32/32\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // The files may move, and may not be others.
    fs::rename(here.join("model.safetensors"), here.join("moved.safetensors")).unwrap();
    let other = ModelConfig::new(Architecture::TinyResNet, 2).with_seed(6).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&other, vec!["blue".to_owned(), "red".to_owned()]).unwrap();
    save_model(here.join("other.safetensors"), &other, &card).unwrap();
    let message = resumed("other.safetensors", &[]);
    assert!(message.contains("weights.sha256 was \""), "{message}");
    succeed("finetune", here, &job("moved.safetensors", "run", &["--resume"]));
    fs::rename(here.join("images"), here.join("elsewhere")).unwrap();
    let mut elsewhere = job("moved.safetensors", "run", &["--resume"]);
    for word in &mut elsewhere {
        if *word == "folder:images" {
            *word = "folder:elsewhere";
        }
    }
    succeed("finetune", here, &elsewhere);
    assert!(fs::read(here.join("run/at/model.safetensors")).unwrap() == trained, "nothing was trained anew");

    fs::remove_file(here.join("run/at/experiment.json")).unwrap();
    let message = resumed("moved.safetensors", &[]);
    assert!(message.contains("run/at/experiment.json") && message.contains("are not known"), "{message}");
    assert_eq!(
        json(here.join("run/report.json"))["result"]["test"],
        serde_json::from_slice::<Value>(&report).unwrap()["result"]["test"]
    );
}
