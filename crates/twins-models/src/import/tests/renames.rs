//! Renamed entries.

use crate::architectures::golden::golden;
use crate::import::options::ImportOptions;
use crate::import::tests::{formats, load, logits, reference, respelled};

#[test]
fn names_are_translated_by_regular_expressions_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let spelling =
        |key: &str| format!("backbone.{}", key.replace("layer", "block_").replace("conv", "convolution"));
    let path = respelled(folder.path(), "projected", spelling);
    let message = load("projected", &path, &ImportOptions::new()).unwrap_err().to_string();
    assert!(message.contains("If the names alone differ, rename them"), "{message}");
    let options = |renames: &[&str]| {
        renames.iter().fold(ImportOptions::new(), |options, text| options.with_rename(text.parse().unwrap()))
    };
    // The second finds its names because of the first.
    let renames = options(&[r"^backbone\.=", r"^block_(\d)=layer$1", "convolution=conv"]);
    let (net, report) = load("projected", &path, &renames).unwrap();
    assert_eq!(logits(&net, "projected"), logits(&reference("projected"), "projected"));
    let entry = report.mapped.iter().find(|entry| entry.key == "layer2.0.downsample.0.weight").unwrap();
    assert_eq!(entry.renamed_from.as_deref(), Some("backbone.block_2.0.downsample.0.weight"));
    assert!(report.to_string().contains("backbone.fc.bias = fc.bias [5] -> head.bias"), "{report}");
    assert!(
        load("projected", &path, &options(&["^block_=layer", r"^backbone\.=", "convolution=conv"])).is_err()
    );
}

#[test]
fn two_entries_of_the_same_new_name_are_refused_by_their_own() {
    let options = ImportOptions::new().with_rename("conv[12]=conv".parse().unwrap());
    let message = load("cifar", golden("torch/cifar.safetensors"), &options).unwrap_err().to_string();
    assert!(
        message.contains(
            "layer1.0.conv1.weight and layer1.0.conv2.weight would both be named layer1.0.conv.weight"
        ),
        "{message}"
    );
    // An entry that keeps its name counts too.
    let options = ImportOptions::new().with_rename("conv2=conv1".parse().unwrap());
    let message = load("cifar", golden("torch/cifar.safetensors"), &options).unwrap_err().to_string();
    assert!(message.contains("would both be named layer1.0.conv1.weight"), "{message}");
}

#[test]
fn names_begin_inside_their_dictionary() {
    let renames = ["^module\\.0=module.x", "^module\\.x=module.0"];
    let options =
        renames.iter().fold(ImportOptions::new(), |options, text| options.with_rename(text.parse().unwrap()));
    let (_, report) = load("mnist_cnn", formats("nested.pth.tar"), &options).unwrap();
    assert_eq!((report.entry.as_str(), report.prefix.as_str()), ("state_dict", "state_dict.module."));
    // The first rename alone shows that the expression matches there.
    let options = ImportOptions::new().with_rename(renames[0].parse().unwrap());
    let message = load("mnist_cnn", formats("nested.pth.tar"), &options).unwrap_err().to_string();
    assert!(message.contains("unexpected: state_dict.module.x.weight"), "{message}");
}

#[test]
fn names_in_a_pickled_module_are_those_of_its_state_dict() {
    let options = ImportOptions::new().with_rename(r"^1\.=net.".parse().unwrap());
    let (net, report) = load("mnist_cnn", formats("whole_module.pt"), &options).unwrap();
    assert_eq!((report.entry.as_str(), report.prefix.as_str()), ("", "net."));
    assert_eq!(logits(&net, "mnist_cnn"), logits(&reference("mnist_cnn"), "mnist_cnn"));
}
