//! Names in archives and lists: they do not lead out of their folder, and do not act on a terminal.

use std::fs;
use std::path::Path;

use burn_dataset::Dataset;
use image::RgbImage;
use twins_data::{
    DataError, FolderConfig, FolderDataset, ImageDataset, ListFault, ListLayout, ListedDataset, Part,
};
use twins_testing::check_message;

fn image(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::new(2, 2).save(path).unwrap();
}

fn open_list(list: &Path) -> Result<ListedDataset, DataError> {
    ListedDataset::open(ListLayout::List, Part::Train, &FolderConfig::new(list))
}

#[test]
fn every_image_has_one_path_inside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    image(&folder.path().join("data/a/1.png"));
    image(&folder.path().join("outside.png"));
    let list = folder.path().join("data/list.tsv");
    let fault = |name: &str| {
        fs::write(&list, format!("{name}\ta\ttrain\n")).unwrap();
        match open_list(&list).unwrap_err() {
            DataError::List { fault, .. } => fault,
            other => panic!("{name:?}: {other}"),
        }
    };
    let absolute = folder.path().join("outside.png").display().to_string();
    for name in [
        "../outside.png",
        "a/../../outside.png",
        absolute.as_str(),
        "./a/1.png",
        "a/./1.png",
        "a//1.png",
        "a/1.png/",
    ] {
        assert!(matches!(fault(name), ListFault::Outside { .. }), "{name:?}");
    }
    for name in ["a/1.png\0", "a/1.png\0.jpg", "a/\u{1b}1.png"] {
        assert!(matches!(fault(name), ListFault::MissingImage { .. }), "{name:?}");
    }
}

/// Names that a terminal, a page or a table might take for something else, and a very long one.
fn names() -> [String; 6] {
    let long = "long ".repeat(2_000);
    ["a\u{1b}[2J\u{1b}]0;title\u{7}b", "<b>\"'&</b>", "\u{202e}gnp.exe", "\u{9b}31m", "..", long.trim()]
        .map(str::to_owned)
}

#[test]
fn classes_of_a_list_may_have_any_name_and_errors_show_it_safely() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..7 {
        image(&folder.path().join(format!("{number}.png")));
    }
    let list = folder.path().join("list.tsv");
    let lines: String =
        names().iter().enumerate().map(|(number, name)| format!("{number}.png\t{name}\ttrain\n")).collect();
    fs::write(&list, &lines).unwrap();
    let dataset = open_list(&list).unwrap();
    assert_eq!(dataset.len(), 6);
    assert!(names().iter().all(|name| dataset.classes().contains(name)));
    for name in names() {
        // A class of which nothing is trained on.
        fs::write(&list, format!("{lines}6.png\tx{name}\ttest\n")).unwrap();
        let message = open_list(&list).unwrap_err().to_string();
        check_message(&message);
        assert!(!message.contains('\n') && message.chars().count() < 1_000, "{message}");
    }
}

#[cfg(unix)]
#[test]
fn files_of_a_folder_may_have_any_name_and_errors_show_it_safely() {
    let folder = tempfile::tempdir().unwrap();
    let class = "a\n\u{1b}[2Jerror: b";
    image(&folder.path().join(class).join("1.png"));
    fs::write(folder.path().join(class).join("2\n\u{1b}[31m.png"), "no image").unwrap();
    let dataset = FolderDataset::open(folder.path()).unwrap();
    assert_eq!(dataset.classes(), [class]);
    let message = dataset.get(1).unwrap_err().to_string();
    check_message(&message);
    assert!(message.contains("a\\n\\u{1b}[2Jerror: b/2\\n\\u{1b}[31m.png is not a PNG"), "{message}");
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_no_images() {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    use twins_data::NonImages;

    let folder = tempfile::tempdir().unwrap();
    let class = folder.path().join("class");
    image(&class.join("1.png"));
    // One gives zeros without an end, the other waits for a writer without an end.
    symlink("/dev/zero", class.join("2.png")).unwrap();
    assert!(Command::new("mkfifo").arg(class.join("3.png")).status().unwrap().success());
    let dataset = FolderDataset::open(folder.path()).unwrap();
    for index in [1, 2] {
        assert!(matches!(dataset.get(index), Err(DataError::NotAnImage { .. })), "{index}");
    }
    let dataset = FolderConfig::new(folder.path()).with_non_images(NonImages::Skip).open().unwrap();
    assert_eq!(dataset.skipped(), ["2.png", "3.png"].map(|name| class.join(name)));
}
