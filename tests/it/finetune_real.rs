//! The examples from end to end: real weights and real images, large images of different sizes, and bad input.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use burn::tensor::Device;
use burn_twins::models::{Architecture, ModelCard, ModelConfig, load_model, save_model};
use flate2::read::GzDecoder;
use serde_json::Value;
use twins_testing::{example, repository, shared};

fn run(name: &str, arguments: &[&str]) -> Output {
    Command::new(example(name)).args(arguments).output().unwrap()
}

/// What a run that must succeed printed.
fn succeed(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}\n{out}\n{err}");
    format!("{out}{err}")
}

/// What a run that must fail said, in one line and without a panic.
fn fail(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{name} {arguments:?} did not fail");
    assert!(!message.contains("panicked"), "{name} {arguments:?}\n{message}");
    message
}

/// Unpacks the first images of some classes: so many to train on and so many to test on, for each.
fn unpack(archive: &Path, folder: &Path, classes: &[&str], train: usize, test: usize) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let class =
            path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_none() || !classes.contains(&class.as_str()) {
            continue;
        }
        let count = counts.entry(class.clone()).or_default();
        let part = match *count {
            count if count < train => "train",
            count if count < train + test => "test",
            _ => continue,
        };
        *count += 1;
        let to = folder.join(part).join(&class);
        fs::create_dir_all(&to).unwrap();
        entry.unpack(to.join(path.file_name().unwrap())).unwrap();
    }
    assert_eq!(counts.len(), classes.len());
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn real_weights_are_fine_tuned_on_real_images_and_evaluated() {
    let (Some(weights), Some(archive)) =
        (shared("models/cifar_resnet20.th"), shared("data/cifar10-jpeg-test.tar.gz"))
    else {
        return;
    };
    let begin = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    unpack(&archive, &images, &["automobile", "frog"], 60, 30);
    let (data, out) = (format!("folder:{}", images.display()), folder.path().join("run"));
    let finetuned = succeed(
        "finetune",
        &[
            "--weights",
            text(&weights),
            "--arch",
            "resnet20",
            "--data",
            &data,
            "--method",
            "twins-at",
            "--epochs",
            "2",
            "--batch-size",
            "20",
            "--lr",
            "0.01",
            "--epsilon",
            "0.0078",
            "--steps",
            "3",
            "--out",
            text(&out),
        ],
    );
    assert!(finetuned.contains("97 entries loaded into resnet20, 10 classes"), "{finetuned}");
    assert!(finetuned.contains("with twins-at: 120 images, 2 epochs"), "{finetuned}");
    let report = json(&out.join("report.json"));
    assert_eq!(report["result"]["test"]["clean"]["total"], 60, "{report}");

    let model = out.join("twins-at/model.safetensors");
    let (net, card) = load_model(&model, &Device::flex()).unwrap();
    assert_eq!((net.num_classes(), card.classes()), (2, &["automobile".to_owned(), "frog".to_owned()][..]));

    let evaluation = folder.path().join("evaluation.json");
    let arguments = [
        "--weights",
        text(&model),
        "--arch",
        "resnet20",
        "--data",
        &data,
        "--attack",
        "pgd",
        "--epsilon",
        "0.0078",
        "--steps",
        "5",
        "--json",
        text(&evaluation),
    ];
    succeed("evaluate", &arguments);
    let evaluation = json(&evaluation);
    let clean = evaluation["clean"]["correct"].as_u64().unwrap();
    let robust = evaluation["robust"]["correct"].as_u64().unwrap();
    println!("{clean} of 60 right, {robust} under PGD-5, {:.0} s", begin.elapsed().as_secs_f64());
    // The same network on the same images as the trainer's own measurement.
    assert_eq!(report["result"]["test"]["clean"]["correct"], clean, "{report}");
    // Within 2/255, because these weights were not trained adversarially. Features of real weights tell a car from a frog: 45 of 60 by chance has a probability below 1e-4.
    assert!(clean >= 45 && robust <= clean, "{clean}, {robust}");

    // Data of other classes: the model knows its own.
    fs::rename(images.join("test/frog"), images.join("test/toad")).unwrap();
    let message = fail("evaluate", &arguments);
    assert!(message.contains("toad is not among the 2 classes expected (automobile, frog)"), "{message}");
    // A class without images does not shift the labels of the others.
    fs::remove_dir_all(images.join("test/automobile")).unwrap();
    fs::rename(images.join("test/toad"), images.join("test/frog")).unwrap();
    succeed("evaluate", &arguments);
    let labels = json(&folder.path().join("evaluation.json"));
    assert!(labels["samples"].as_array().unwrap().iter().all(|sample| sample["label"] == 1), "{labels}");
}

/// A folder of two classes of images of different sizes, and a text file among each.
fn large_images(folder: &Path) {
    let samples = golden("twins-data/tests/golden/pillow_resize");
    let samples =
        ["input_256_224/samples/photo_size", "input_32_28/samples/landscape", "input_32_28/samples/portrait"]
            .map(|name| samples.join(name).with_extension("png"));
    for class in ["blue", "red"] {
        let class = folder.join(class);
        fs::create_dir_all(&class).unwrap();
        for index in 0..8 {
            let sample = &samples[index % samples.len()];
            fs::copy(sample, class.join(format!("{index}.png"))).unwrap();
        }
        fs::write(class.join("notes.txt"), "not an image").unwrap();
    }
}

#[test]
fn large_images_of_different_sizes_reach_a_net_of_224_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    large_images(&images);
    let net = ModelConfig::new(Architecture::ResNet18, 2).init(&Device::flex()).unwrap();
    let card = ModelCard::new(&net, vec!["blue".to_owned(), "red".to_owned()]).unwrap();
    let model = folder.path().join("model.safetensors");
    save_model(&model, &net, &card).unwrap();
    let data = format!("folder:{}", images.display());
    let base = ["--weights", text(&model), "--arch", "resnet18", "--data", &data];

    // Every refusal says what to do.
    let clean = |more: &[&str]| {
        let arguments = [&base[..], &["--attack", "clean"], more].concat();
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fail_clean =
        |more: &[&str]| fail("evaluate", &clean(more).iter().map(String::as_str).collect::<Vec<_>>());
    let message = fail_clean(&[]);
    assert!(message.contains("notes.txt") && message.contains("--skip-non-images"), "{message}");
    let message = fail_clean(&["--skip-non-images"]);
    assert!(message.contains("x") && message.contains("--preprocessing 256/224"), "{message}");
    let message = fail_clean(&["--preprocessing", "224/256"]);
    assert!(message.contains("the crop no larger than the resize"), "{message}");

    let arguments = clean(&["--skip-non-images", "--preprocessing", "imagenet"]);
    let said = succeed("evaluate", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(said.contains("of 16") && said.matches("skipped, no image").count() == 2, "{said}");

    // Random resized crops out of the stored images, in two steps of training; smaller, to be quick.
    let out = folder.path().join("run");
    let more = [
        "--skip-non-images",
        "--preprocessing",
        "72/64",
        "--method",
        "twins-at",
        "--epochs",
        "2",
        "--steps",
        "1",
        "--batch-size",
        "16",
        "--limit",
        "18",
        "--cache-mib",
        "0",
        "--out",
        text(&out),
    ];
    succeed("finetune", &[&base[..], &more[..]].concat());
    let (net, _) = load_model(out.join("twins-at/model.safetensors"), &Device::flex()).unwrap();
    assert_eq!(net.num_classes(), 2);
}

#[test]
fn small_images_are_enlarged_inside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    for class in ["a", "b"] {
        fs::create_dir_all(images.join(class)).unwrap();
        let sample = golden("twins-data/tests/golden/jpeg/decoded/class/grey.png");
        fs::copy(sample, images.join(class).join("1.png")).unwrap();
    }
    let net = ModelConfig::new(Architecture::ResNet18, 2).init(&Device::flex()).unwrap();
    let weights = folder.path().join("weights.safetensors");
    burn_twins::models::export_weights(&weights, &net, burn_twins::models::Wings::Adaptive).unwrap();
    let data = format!("folder:{}", images.display());
    let base = [
        "--weights",
        text(&weights),
        "--arch",
        "resnet18",
        "--data",
        &data,
        "--attack",
        "clean",
        "--upsample",
    ];
    succeed("evaluate", &[&base[..], &["64", "--normalisation", "none"]].concat());
    let message = fail("evaluate", &[&base[..], &["4"]].concat());
    assert!(message.contains("up-sampling enlarges"), "{message}");
    let message = fail("evaluate", &[&base[..], &["64", "--normalisation", "0.5,0.5,0.5/0,0,0"]].concat());
    assert!(message.contains("positive std"), "{message}");
}

#[test]
fn convert_carries_class_names() {
    let folder = tempfile::tempdir().unwrap();
    let net = ModelConfig::new(Architecture::ResNet8, 3).init(&Device::flex()).unwrap();
    let weights = folder.path().join("weights.safetensors");
    burn_twins::models::export_weights(&weights, &net, burn_twins::models::Wings::Adaptive).unwrap();
    let (model, again) = (folder.path().join("model.safetensors"), folder.path().join("again.safetensors"));
    let names = folder.path().join("names.txt");
    // With a byte order mark, as some editors write it.
    fs::write(&names, "\u{feff}tench, Tinca tinca\n\ngoldfish\n great white shark \n").unwrap();
    let base = [text(&weights), "--arch", "resnet8", "--out", text(&model)];
    let said = succeed("convert", &[&base[..], &["--class-file", text(&names)]].concat());
    assert!(said.contains("conv1.weight [16, 3, 3, 3] -> conv1.weight"), "{said}");
    let expected = ["tench, Tinca tinca", "goldfish", "great white shark"];
    assert_eq!(ModelCard::read(&model).unwrap().classes(), expected);
    // A model file keeps its names.
    succeed("convert", &[text(&model), "--arch", "resnet8", "--out", text(&again)]);
    assert_eq!(ModelCard::read(&again).unwrap().classes(), expected);

    succeed("convert", &[&base[..], &["--classes", "one, two ,three"]].concat());
    assert_eq!(ModelCard::read(&model).unwrap().classes(), ["one", "two", "three"]);
    // The names of the folders, whatever else lies among their images.
    let images = folder.path().join("images");
    for class in ["a", "b", "c"] {
        fs::create_dir_all(images.join(class)).unwrap();
        let sample = golden("twins-data/tests/golden/jpeg/decoded/class/grey.png");
        fs::copy(sample, images.join(class).join("1.png")).unwrap();
    }
    fs::write(images.join("b/notes.txt"), "text").unwrap();
    let data = format!("folder:{}", images.display());
    succeed("convert", &[&base[..], &["--classes-of", &data]].concat());
    assert_eq!(ModelCard::read(&model).unwrap().classes(), ["a", "b", "c"]);
    let message = fail("convert", &[&base[..], &["--classes", "one,two"]].concat());
    assert!(message.contains("2 class names were given for a model of 3 classes"), "{message}");
    let message = fail("convert", &[&base[..], &["--classes", "one,two,one"]].concat());
    assert!(message.contains("none twice"), "{message}");
    let absent = folder.path().join("absent");
    let message = fail("convert", &[&base[..], &["--class-file", text(&absent)]].concat());
    assert!(message.contains("absent"), "{message}");
}

#[test]
fn weights_with_other_names_are_read_by_every_program() {
    let folder = tempfile::tempdir().unwrap();
    let net = ModelConfig::new(Architecture::TinyResNet, 10).init(&Device::flex()).unwrap();
    let weights = folder.path().join("weights.safetensors");
    burn_twins::models::export_weights(&weights, &net, burn_twins::models::Wings::Adaptive).unwrap();
    let bytes = fs::read(&weights).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let respelled = file.iter().map(|(key, view)| (format!("net.{}", key.replace("layer", "block_")), view));
    let path = folder.path().join("respelled.safetensors");
    fs::write(&path, safetensors::serialize(respelled, None).unwrap()).unwrap();

    let base = [text(&path), "--arch", "tiny-resnet"];
    assert!(fail("convert", &base).contains("If the names alone differ, rename them"));
    let renames = ["--rename", r"^net\.=", "--rename", r"^block_(\d)=layer$1"];
    let said = succeed("convert", &[&base[..], &renames].concat());
    assert!(said.contains("net.block_1.0.conv1.weight = layer1.0.conv1.weight [16, 16, 3, 3]"), "{said}");

    let weights = ["--weights", text(&path), "--arch", "tiny-resnet", "--data", "builtin", "--limit", "60"];
    let said = succeed("evaluate", &[&weights[..], &["--attack", "clean"], &renames].concat());
    assert!(said.contains("37 entries loaded into tiny-resnet"), "{said}");
    let out = folder.path().join("run");
    let short = ["--method", "standard", "--epochs", "1", "--steps", "1", "--out", text(&out)];
    let said = succeed("finetune", &[&weights[..], &short, &renames].concat());
    assert!(said.contains("37 entries loaded into tiny-resnet"), "{said}");

    let message = fail("convert", &[&base[..], &["--rename", "block_(=layer"]].concat());
    assert!(
        message.contains("cannot rename by \"block_(\"") && message.contains("unclosed group"),
        "{message}"
    );
    let message = fail("convert", &[&base[..], &["--rename", "conv[12]=conv"]].concat());
    assert!(message.contains("would both be named net.block_1.0.conv.weight"), "{message}");
}

/// A file below the crates' golden folders.
fn golden(path: &str) -> PathBuf {
    repository().join("crates").join(path)
}

#[test]
fn bad_files_are_told_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let formats = golden("twins-models/tests/golden/formats");
    let zip = fs::read(formats.join("zip.pt")).unwrap();
    let huge = br#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#;
    let huge = [&(huge.len() as u64).to_le_bytes()[..], huge, &[0; 16]].concat();
    let weights: [(PathBuf, &str); 7] = [
        (write("empty.pt", b""), "it is empty"),
        (write("text.pt", b"these are no weights, only a text"), "no usable weight file"),
        (write("half.pt", &zip[..zip.len() / 2]), "no usable weight file"),
        (write("huge.safetensors", &huge), "no usable weight file"),
        (formats.join("calls_system.pt"), "asks to call posix.system"),
        (formats.join("calls_eval.pkl"), "eval"),
        (folder.path().join("absent.pt"), "cannot read"),
    ];
    for (path, reason) in weights {
        let message = fail("convert", &[text(&path), "--arch", "mnist-cnn"]);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(message.contains(reason) && message.contains(name), "{name}: {message}");
    }
    let message = fail("convert", &[text(&formats.join("zip.pt"))]);
    assert!(message.contains("give --arch (model.arch), one of mnist-cnn"), "{message}");
    let message = fail("convert", &[text(&formats.join("zip.pt")), "--arch", "mnist_cn"]);
    assert!(message.contains("did you mean \"mnist-cnn\""), "{message}");
    let message = fail("convert", &[text(&formats.join("zip.pt")), "--arch", "mnist-cnn"]);
    assert!(message.contains("7.weight is [5, 8], the network needs [5, 100]"), "{message}");

    let net = ModelConfig::new(Architecture::MnistCnn, 10).init(&Device::flex()).unwrap();
    let model = folder.path().join("model.safetensors");
    let digits = (0..10).map(|digit| digit.to_string()).collect();
    save_model(&model, &net, &ModelCard::new(&net, digits).unwrap()).unwrap();
    let evaluate = |data: &str| {
        fail(
            "evaluate",
            &["--weights", text(&model), "--arch", "mnist-cnn", "--data", data, "--attack", "clean"],
        )
    };
    let idx = |magic: u32, dims: &[u32], bytes: usize| {
        let mut file = magic.to_be_bytes().to_vec();
        dims.iter().for_each(|dim| file.extend(dim.to_be_bytes()));
        file.resize(file.len() + bytes, 0);
        file
    };
    let mnist = |name: &str, images: Vec<u8>, labels: Vec<u8>| {
        write(&format!("{name}/t10k-images-idx3-ubyte"), &images);
        write(&format!("{name}/t10k-labels-idx1-ubyte"), &labels);
        evaluate(&format!("mnist:{}", folder.path().join(name).display()))
    };
    let good = || idx(0x803, &[2, 28, 28], 2 * 784);
    let labels = |count| idx(0x801, &[count], count as usize);
    for (message, reason) in [
        (mnist("truncated", good()[..100].to_vec(), labels(2)), "truncated or damaged"),
        (mnist("magic", idx(0x804, &[2, 28, 28], 2 * 784), labels(2)), "another kind of file"),
        (mnist("bomb", idx(0x803, &[u32::MAX; 3], 9), labels(2)), "made to exhaust memory"),
        (mnist("short", good(), labels(1)), "2 images but"),
        (mnist("long", good(), labels(3)), "2 images but"),
        (evaluate("svhn:here"), "unknown data source"),
        (evaluate("mnist:/nowhere"), "/nowhere"),
        (evaluate("builtin"), "mnist-cnn"),
    ] {
        assert!(message.contains(reason), "{reason}: {message}");
    }

    write("twice/cat/1.png", b"");
    write("twice/cat /1.png", b"");
    let message = evaluate(&format!("folder:{}", folder.path().join("twice").display()));
    assert!(message.contains("two classes are both named \"cat\""), "{message}");
    let python = golden("twins-data/tests/golden/cifar_python/modern/test_batch");
    let mut pickle = fs::read(python).unwrap();
    let at = pickle.windows(7).position(|window| window == b"ndarray").unwrap();
    pickle[at..at + 7].copy_from_slice(b"fromstr");
    write("pickle/test_batch", &pickle);
    let message = evaluate(&format!("cifar10:{}", folder.path().join("pickle").display()));
    assert!(message.contains("asks for numpy.fromstr"), "{message}");
}
