//! Images that are deleted or changed while a run is interrupted, or while it runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use burn::tensor::Device;
use burn_twins::attack::Journal;
use burn_twins::models::{Architecture, ModelCard, ModelConfig, save_model};
use image::{Rgb, RgbImage};

use super::{error_of, fail, json, succeed, timeless, twins};

/// Thirty images of each of two classes below `images`, no two equal, and a net for them.
fn save_images(folder: &Path) {
    for (class, base) in [("blue", [0, 0, 200]), ("red", [200, 0, 0])] {
        fs::create_dir_all(folder.join("images").join(class)).unwrap();
        for index in 0..30 {
            let colour = Rgb([base[0], 5 * index, base[2]]);
            let file = folder.join("images").join(class).join(format!("{index:03}.png"));
            RgbImage::from_pixel(32, 32, colour).save(file).unwrap();
        }
    }
    let net = ModelConfig::new(Architecture::TinyResNet, 2).with_seed(5).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, vec!["blue".to_owned(), "red".to_owned()]).unwrap();
    save_model(folder.join("net.safetensors"), &net, &card).unwrap();
}

/// A training on the images. Nothing is cached, so that every epoch reads every file again.
fn finetune(folder: &Path, out: &str, more: &[&str]) -> Command {
    finetune_on("folder:images", folder, out, more)
}

fn finetune_on(data: &str, folder: &Path, out: &str, more: &[&str]) -> Command {
    let fixed = ["--weights", "net.safetensors", "--data", data, "--out", out, "--method", "at"];
    let quick = ["--steps", "1", "--batch-size", "8", "--report-images", "0", "--threads", "1"];
    let checks = ["--cache-mib", "0", "--no-memory-check", "--set", "checkpoint_steps=1"];
    twins("finetune", folder, &[&fixed[..], &quick, &checks, more].concat())
}

fn model(folder: &Path, out: &str) -> Vec<u8> {
    fs::read(folder.join(out).join("at/model.safetensors")).unwrap()
}

#[test]
fn a_training_is_not_resumed_on_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_images(folder);
    succeed(finetune(folder, "straight", &["--epochs", "1"]));
    succeed(finetune(folder, "straight", &["--epochs", "2", "--resume"]));
    succeed(finetune(folder, "run", &["--epochs", "1"]));
    let resume = || finetune(folder, "run", &["--epochs", "2", "--resume"]);
    let refused = |part: &str| {
        let message = fail(resume());
        assert!(
            message.contains("run/at holds a run with other settings") && message.contains(part),
            "{message}"
        );
    };
    let file = folder.join("images/blue/000.png");
    let bytes = fs::read(&file).unwrap();

    fs::remove_file(&file).unwrap();
    refused("images.t");
    fs::write(folder.join("images/blue/new.png"), &bytes).unwrap();
    refused("an image of the");
    fs::remove_file(folder.join("images/blue/new.png")).unwrap();
    // Another image, whose file is larger because it is no single colour.
    RgbImage::from_fn(32, 32, |x, y| Rgb([x as u8 * 7, y as u8 * 5, (x * y) as u8])).save(&file).unwrap();
    assert_ne!(fs::metadata(&file).unwrap().len(), bytes.len() as u64);
    refused("was replaced, renamed or moved to another class");

    fs::write(&file, &bytes).unwrap();
    succeed(resume());
    assert!(model(folder, "run") == model(folder, "straight"));
}

/// CIFAR-10 with a few images in each file, and a net for it.
fn save_cifar(folder: &Path) {
    let classes: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
    let data = folder.join("cifar");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("batches.meta.txt"), classes.join("\n") + "\n").unwrap();
    let files = (1..=5).map(|batch| format!("data_batch_{batch}.bin")).chain(["test_batch.bin".to_owned()]);
    for (place, file) in files.enumerate() {
        let record = |image: usize| {
            let pixels = (0..3072).map(move |pixel| (31 * (place * 10 + image) + pixel * pixel) as u8);
            std::iter::once(image as u8).chain(pixels)
        };
        fs::write(data.join(file), (0..10).flat_map(record).collect::<Vec<u8>>()).unwrap();
    }
    let net = ModelConfig::new(Architecture::TinyResNet, 10).with_seed(5).init(&Device::flex()).unwrap();
    save_model(folder.join("net.safetensors"), &net, &ModelCard::new(&net, classes).unwrap()).unwrap();
}

#[test]
fn a_training_is_not_resumed_on_other_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_cifar(folder);
    let finetune = |out: &str, more: &[&str]| finetune_on("cifar10:cifar", folder, out, more);
    succeed(finetune("straight", &["--epochs", "1"]));
    succeed(finetune("straight", &["--epochs", "2", "--resume"]));
    succeed(finetune("run", &["--epochs", "1"]));
    let resume = || finetune("run", &["--epochs", "2", "--resume"]);
    for (file, part) in [("data_batch_4.bin", "training"), ("test_batch.bin", "test")] {
        let path = folder.join("cifar").join(file);
        let bytes = fs::read(&path).unwrap();
        // One level of one value.
        let mut changed = bytes.clone();
        changed[3073 + 1000] ^= 1;
        fs::write(&path, changed).unwrap();
        let message = fail(resume());
        assert!(message.contains(&format!("an image of the {part} part was replaced")), "{message}");
        fs::write(&path, &bytes[..3073 * 10 - 1]).unwrap();
        let message = fail(resume());
        assert!(message.contains(file), "{message}");
        fs::remove_file(&path).unwrap();
        let message = fail(resume());
        assert!(message.contains(file), "{message}");
        fs::write(&path, bytes).unwrap();
    }
    succeed(resume());
    assert!(model(folder, "run") == model(folder, "straight"));
}

#[test]
fn files_that_disappear_during_a_training_are_named_and_the_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_images(folder);
    // A few seconds.
    let epochs = ["--epochs", "40"];
    succeed(finetune(folder, "straight", &epochs));
    let mut process = finetune(folder, "run", &epochs).spawn().unwrap();
    while !folder.join("run/at/last.safetensors").exists() {
        assert!(process.try_wait().unwrap().is_none(), "the training ended before its first checkpoint");
        sleep(Duration::from_millis(2));
    }
    // All of a class, since a single file could be among the test images, which are read at the end.
    fs::rename(folder.join("images/blue"), folder.join("away")).unwrap();
    let output = process.wait_with_output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["error: cannot read images/blue/", ".png: No such file", "check that it exists"] {
        assert!(message.contains(part) && !message.contains("panicked"), "{part}: {message}");
    }
    fs::rename(folder.join("away"), folder.join("images/blue")).unwrap();
    succeed(finetune(folder, "run", &["--epochs", "40", "--resume"]));
    assert!(model(folder, "run") == model(folder, "straight"));
}

/// An evaluation of the images. Nothing is cached, so that every attack reads its images again, a few at a time.
fn evaluate(folder: &Path, json: &str, more: &[&str]) -> Command {
    let fixed = ["--weights", "net.safetensors", "--data", "folder:images", "--json", json];
    let attack = ["--attack", "fgsm,square", "--epsilon", "0.0005", "--queries", "200", "--threads", "1"];
    let reading = ["--cache-mib", "0", "--batch-size", "4", "--no-memory-check"];
    twins("evaluate", folder, &[&fixed[..], &attack, &reading, more].concat())
}

/// Starts an evaluation, and waits for its first outcomes.
fn attacked(mut command: Command, journal: &Path) -> Child {
    let mut process = command.spawn().unwrap();
    while Journal::read(journal).unwrap().is_none_or(|journal| journal.outcomes().is_empty()) {
        assert!(process.try_wait().unwrap().is_none(), "the evaluation ended before its first outcomes");
        sleep(Duration::from_millis(2));
    }
    process
}

#[test]
fn an_evaluation_whose_images_disappear_is_resumed_on_the_same_images_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_images(folder);
    let evaluate = |json: &str, more: &[&str]| evaluate(folder, json, more);
    succeed(evaluate("straight.json", &[]));
    let journal = folder.join("report.journal");
    let process = attacked(evaluate("report.json", &[]), &journal);
    // All images, because those of one class may be misclassified, and are then not read again.
    fs::rename(folder.join("images"), folder.join("away")).unwrap();
    let output = process.wait_with_output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["cannot read images/", ".png: No such file", "check that it exists"] {
        assert!(message.contains(part) && !message.contains("panicked"), "{part}: {message}");
    }
    assert!(journal.exists(), "{message}");
    fs::rename(folder.join("away"), folder.join("images")).unwrap();

    let file = folder.join("images/red/010.png");
    let before = fs::read(&file).unwrap();
    // A single value of a single pixel, by one level.
    let mut image = image::open(&file).unwrap().into_rgb8();
    image.get_pixel_mut(3, 4).0[1] ^= 1;
    image.save(&file).unwrap();
    let refused = || {
        let message = fail(evaluate("report.json", &["--resume"]));
        for part in ["the journal report.journal belongs to", "other data", "the images of its start"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    };
    refused();
    fs::remove_file(&file).unwrap();
    refused();
    fs::write(&file, before).unwrap();
    succeed(evaluate("report.json", &["--resume"]));
    assert_eq!(timeless(json(folder.join("report.json"))), timeless(json(folder.join("straight.json"))));
}

#[test]
fn an_evaluation_whose_images_change_ends_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save_images(folder);
    succeed(evaluate(folder, "straight.json", &[]));
    // The same images with a single value of a single pixel changed by one level. A link leads to one or the other.
    for class in ["blue", "red"] {
        fs::create_dir_all(folder.join("changed").join(class)).unwrap();
        for entry in fs::read_dir(folder.join("images").join(class)).unwrap() {
            let path = entry.unwrap().path();
            let mut image = image::open(&path).unwrap().into_rgb8();
            image.get_pixel_mut(3, 4).0[1] ^= 1;
            image.save(folder.join("changed").join(class).join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::rename(folder.join("images"), folder.join("first")).unwrap();
    let lead_to = |target: &str| {
        symlink(target, folder.join("link")).unwrap();
        fs::rename(folder.join("link"), folder.join("images")).unwrap();
    };
    lead_to("first");
    let journal = folder.join("report.journal");
    let process = attacked(evaluate(folder, "report.json", &[]), &journal);
    lead_to("changed");
    let output = process.wait_with_output().unwrap();
    let message = error_of(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in ["the image of sample ", " has changed since the evaluation began; restore it"] {
        assert!(message.contains(part) && !message.contains("panicked"), "{part}: {message}");
    }
    assert!(journal.exists() && !folder.join("report.json").exists());
    lead_to("first");
    succeed(evaluate(folder, "report.json", &["--resume"]));
    assert_eq!(timeless(json(folder.join("report.json"))), timeless(json(folder.join("straight.json"))));
}
