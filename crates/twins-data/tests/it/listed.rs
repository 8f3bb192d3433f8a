//! Data sets whose images, classes and parts are named by list files: tiny archives in the published layouts.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};
use twins_data::{
    DataError, DataSource, FolderConfig, ImageDataset, ListFault, ListLayout, ListedDataset, Part,
};

/// Writes files: images where the content is a number, which is their red value, and text otherwise.
fn archive(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        write(folder.path(), name, content);
    }
    folder
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match content.parse() {
        Ok(red) if name.ends_with(".ppm") => {
            fs::write(path, [b"P6 2 2 255\n", &[red, 0, 0].repeat(4)[..]].concat()).unwrap();
        }
        // PNG under the archive's name: the content decides how a file is read, and is exact.
        Ok(red) => {
            RgbImage::from_pixel(2, 2, Rgb([red, 0, 0]))
                .save_with_format(path, image::ImageFormat::Png)
                .unwrap();
        }
        Err(_) => fs::write(path, content).unwrap(),
    }
}

fn open(layout: ListLayout, folder: &Path, part: Part) -> Result<ListedDataset, DataError> {
    ListedDataset::open(layout, part, &FolderConfig::new(folder))
}

/// Red value and label of every sample.
fn samples(dataset: &dyn ImageDataset) -> Vec<(u8, usize)> {
    (0..dataset.len())
        .map(|index| dataset.get(index).unwrap())
        .map(|one| (one.image.pixels[0], one.label))
        .collect()
}

/// The file name and the line of a list's error, and its fault.
fn fault(error: DataError) -> (String, usize, ListFault) {
    let message = error.to_string();
    let DataError::List { path, line, fault } = error else { panic!("{message}") };
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    assert!(message.contains(&name) && message.contains(&format!("line {line} ")), "{message}");
    (name, line, fault)
}

const CUB: [(&str, &str); 7] = [
    ("CUB_200_2011/classes.txt", "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n"),
    (
        "CUB_200_2011/images.txt",
        "1 001.Black_footed_Albatross/a_0046_18.jpg\n2 002.Laysan_Albatross/b_0009_34.jpg\n3 002.Laysan_Albatross/b_2.jpg\n",
    ),
    ("CUB_200_2011/image_class_labels.txt", "1 1\n2 2\n3 2\n"),
    ("CUB_200_2011/train_test_split.txt", "1 0\n2 1\n3 1\n"),
    ("CUB_200_2011/images/001.Black_footed_Albatross/a_0046_18.jpg", "10"),
    ("CUB_200_2011/images/002.Laysan_Albatross/b_0009_34.jpg", "20"),
    ("CUB_200_2011/images/002.Laysan_Albatross/b_2.jpg", "30"),
];

#[test]
fn cub200_has_its_published_split() {
    let folder = archive(&CUB);
    // The folder that the archive was unpacked in, and the one that it has.
    for root in [folder.path().to_path_buf(), folder.path().join("CUB_200_2011")] {
        let train = open(ListLayout::Cub200, &root, Part::Train).unwrap();
        assert_eq!(train.classes(), ["001.Black_footed_Albatross", "002.Laysan_Albatross"]);
        assert_eq!(samples(&train), [(20, 1), (30, 1)]);
        assert_eq!(samples(&open(ListLayout::Cub200, &root, Part::Test).unwrap()), [(10, 0)]);
    }
    let error = open(ListLayout::Cub200, folder.path(), Part::Validation).unwrap_err();
    assert!(matches!(error, DataError::MissingPart { part: Part::Validation, .. }), "{error}");
}

#[test]
fn lists_of_cub200_that_do_not_belong_together_are_refused() {
    for (file, text, name, line, expected) in [
        (
            "image_class_labels.txt",
            "1 1\n2 2\n",
            "images.txt",
            3,
            "image number 3 is not in image_class_labels.txt",
        ),
        (
            "train_test_split.txt",
            "1 0\n3 1\n",
            "images.txt",
            2,
            "image number 2 is not in train_test_split.txt",
        ),
        // The list of the images is cut off.
        (
            "images.txt",
            "1 001.Black_footed_Albatross/a_0046_18.jpg\n",
            "image_class_labels.txt",
            2,
            "image number 2 is not in images.txt",
        ),
        (
            "train_test_split.txt",
            "1 0\n2 1\n3 1\n4 1\n",
            "train_test_split.txt",
            4,
            "image number 4 is not in images.txt",
        ),
        ("image_class_labels.txt", "1 1\n2 3\n3 2\n", "image_class_labels.txt", 2, "no class \"3\""),
        (
            "image_class_labels.txt",
            "1 1\n2 99999999999999999999\n3 2\n",
            "image_class_labels.txt",
            2,
            "no class",
        ),
        ("train_test_split.txt", "1 0\n2 2\n3 1\n", "train_test_split.txt", 2, "1 (training) or 0 (test)"),
        ("train_test_split.txt", "1 0\n2 1\n2 1\n", "train_test_split.txt", 3, "a number of its own"),
        (
            "images.txt",
            "1 001.Black_footed_Albatross/a_0046_18.jpg\nx y\n",
            "images.txt",
            2,
            "\"x y\" is not",
        ),
    ] {
        let folder = archive(&CUB);
        write(folder.path(), &format!("CUB_200_2011/{file}"), text);
        let error = open(ListLayout::Cub200, folder.path(), Part::Train).unwrap_err();
        let message = error.to_string();
        let (found, at, _) = fault(error);
        assert_eq!((&*found, at), (name, line), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn dtd_has_ten_splits_with_validation() {
    let folder = archive(&[
        ("dtd/labels/train1.txt", "banded/banded_0002.jpg\nzigzagged/zigzagged_0001.jpg\n"),
        ("dtd/labels/val1.txt", "banded/banded_0004.jpg\n"),
        ("dtd/labels/test1.txt", "zigzagged/zigzagged_0003.jpg\n"),
        ("dtd/labels/train2.txt", "banded/banded_0004.jpg\nzigzagged/zigzagged_0003.jpg\n"),
        ("dtd/labels/val2.txt", "banded/banded_0002.jpg\n"),
        ("dtd/labels/test2.txt", "zigzagged/zigzagged_0001.jpg\n"),
        ("dtd/images/banded/banded_0002.jpg", "12"),
        ("dtd/images/banded/banded_0004.jpg", "14"),
        ("dtd/images/zigzagged/zigzagged_0001.jpg", "21"),
        ("dtd/images/zigzagged/zigzagged_0003.jpg", "23"),
    ]);
    let parts = |form: &str| {
        let source: DataSource = format!("{form}:{}", folder.path().display()).parse().unwrap();
        assert!(source.has_parts() && source.has_validation() && source.has_image_files());
        [Part::Train, Part::Validation, Part::Test].map(|part| samples(source.open(part).unwrap().as_ref()))
    };
    assert_eq!(parts("dtd"), [vec![(12, 0), (21, 1)], vec![(14, 0)], vec![(23, 1)]]);
    assert_eq!(parts("dtd@2"), [vec![(14, 0), (23, 1)], vec![(12, 0)], vec![(21, 1)]]);
    write(folder.path(), "dtd/labels/test1.txt", "zigzagged/zigzagged_0003.jpg\nwoven/woven_0001.jpg\n");
    let error = open(ListLayout::Dtd { split: 1 }, folder.path(), Part::Train).unwrap_err();
    assert!(matches!(fault(error), (name, 2, ListFault::UnknownClass { .. }) if name == "test1.txt"));
}

#[test]
fn dogs_are_read_from_text_and_their_matlab_lists_are_explained() {
    let folder = archive(&[
        (
            "train_list.txt",
            "n02085620-Chihuahua/n02085620_5927.jpg\nn02116738-African_hunting_dog/n02116738_1.jpg\n",
        ),
        ("Images/n02085620-Chihuahua/n02085620_5927.jpg", "1"),
        ("Images/n02085620-Chihuahua/n02085620_2.jpg", "2"),
        ("Images/n02116738-African_hunting_dog/n02116738_1.jpg", "3"),
    ]);
    write(folder.path(), "test_list.mat", "MATLAB 5.0 MAT-file");
    let error = open(ListLayout::Dogs, folder.path(), Part::Test).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, DataError::MatlabList { .. }), "{message}");
    assert!(
        message.contains("test_list.txt does not exist") && message.contains("scipy.io.loadmat"),
        "{message}"
    );
    // The lists are an archive of their own.
    write(folder.path(), "lists/test_list.txt", "n02085620-Chihuahua/n02085620_2.jpg\n");
    let test = open(ListLayout::Dogs, folder.path(), Part::Test).unwrap();
    assert_eq!(test.classes(), ["n02085620-Chihuahua", "n02116738-African_hunting_dog"]);
    assert_eq!(samples(&test), [(2, 0)]);
    assert_eq!(samples(&open(ListLayout::Dogs, folder.path(), Part::Train).unwrap()), [(1, 0), (3, 1)]);
}

#[test]
fn pets_have_the_classes_of_their_numbers() {
    let folder = archive(&[
        ("annotations/trainval.txt", "Abyssinian_100 1 1 1\namerican_bulldog_7 2 2 1\nBengal_3 6 1 2\n"),
        ("annotations/test.txt", "Bengal_8 6 1 2\n"),
        ("images/Abyssinian_100.jpg", "100"),
        ("images/american_bulldog_7.jpg", "7"),
        ("images/Bengal_3.jpg", "3"),
        ("images/Bengal_8.jpg", "8"),
    ]);
    let train = open(ListLayout::Pets, folder.path(), Part::Train).unwrap();
    assert_eq!(train.classes(), ["Abyssinian", "american_bulldog", "Bengal"]);
    assert_eq!(samples(&train), [(100, 0), (7, 1), (3, 2)]);
    assert_eq!(samples(&open(ListLayout::Pets, folder.path(), Part::Test).unwrap()), [(8, 2)]);
    for (text, is_expected) in [
        (
            "Bengal_8 5 1 2\n",
            (|fault| matches!(fault, ListFault::UnknownClass { .. })) as fn(&ListFault) -> bool,
        ),
        ("Bengal_8 1 1 2\n", |fault| matches!(fault, ListFault::TwoNames { .. })),
        ("Bengal_8 18446744073709551616 1 2\n", |fault| matches!(fault, ListFault::Syntax { .. })),
        ("Bengal_8 6 1\n", |fault| matches!(fault, ListFault::Syntax { .. })),
        ("Bengal_9 6 1 2\n", |fault| matches!(fault, ListFault::MissingImage { .. })),
        ("Bengal_3 6 1 2\n", |fault| matches!(fault, ListFault::Twice { first: Part::Train, .. })),
    ] {
        write(folder.path(), "annotations/test.txt", text);
        let error = open(ListLayout::Pets, folder.path(), Part::Test).unwrap_err();
        let (name, line, fault) = fault(error);
        assert_eq!((&*name, line), ("test.txt", 1));
        assert!(is_expected(&fault), "{text}: {fault}");
    }
}

#[test]
fn gtsrb_is_read_from_its_csv_files() {
    const HEADER: &str = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId";
    for training in ["Final_Training/Images", "Training", "GTSRB/Final_Training/Images", "GTSRB/Training"] {
        let folder = archive(&[]);
        for class in 0..43 {
            let rows = format!("{HEADER}\r\n00000_00000.ppm;2;2;0;0;1;1;{class}\r\n");
            write(folder.path(), &format!("{training}/{class:05}/GT-{class:05}.csv"), &rows);
            write(
                folder.path(),
                &format!("{training}/{class:05}/00000_00000.ppm"),
                &(100 + class).to_string(),
            );
        }
        let train = open(ListLayout::Gtsrb, folder.path(), Part::Train).unwrap();
        assert_eq!(train.classes().len(), 43);
        assert_eq!(samples(&train), (0..43).map(|class| (100 + class as u8, class)).collect::<Vec<_>>());
    }
    // The test part alone; its labels are an archive of their own.
    for (test, list) in [
        ("Final_Test/Images", "GT-final_test.csv"),
        ("Final_Test/Images", "Final_Test/GT-final_test.csv"),
        ("GTSRB/Final_Test/Images", "GT-final_test.csv"),
        ("GTSRB/Final_Test/Images", "GTSRB/Final_Test/Images/GT-final_test.csv"),
    ] {
        let folder = archive(&[]);
        write(folder.path(), &format!("{test}/00000.ppm"), "5");
        write(folder.path(), list, &format!("{HEADER}\n00000.ppm;2;2;0;0;1;1;16\n"));
        assert_eq!(samples(&open(ListLayout::Gtsrb, folder.path(), Part::Test).unwrap()), [(5, 16)]);
        for row in ["00000.ppm;2;2;0;0;1;1;43", "00000.ppm;2;2;0;0;1;1;-1", "00000.ppm;2;2;0;0;1;1"] {
            write(folder.path(), list, &format!("{HEADER}\n{row}\n"));
            let error = open(ListLayout::Gtsrb, folder.path(), Part::Test).unwrap_err();
            assert_eq!(fault(error).1, 2, "{row}");
        }
    }
}

#[test]
fn the_first_sixty_of_each_class_of_caltech256_are_trained_on() {
    let folder = archive(&[("256_ObjectCategories/198.spider/RENAME2", "no image")]);
    for (class, count) in [("001.ak47", 62), ("198.spider", 61)] {
        for index in 1..=count {
            let name = format!("256_ObjectCategories/{class}/{}_{index:04}.jpg", &class[..3]);
            write(folder.path(), &name, &index.to_string());
        }
    }
    write(folder.path(), "256_ObjectCategories/198.spider/greg/1.jpg", "9");
    let train = open(ListLayout::Caltech256, folder.path(), Part::Train).unwrap();
    assert_eq!(train.classes(), ["001.ak47", "198.spider"]);
    let expected = (0..2).flat_map(|label| (1..=60).map(move |index| (index, label)));
    assert_eq!(samples(&train), expected.collect::<Vec<_>>());
    let test = open(ListLayout::Caltech256, folder.path(), Part::Test).unwrap();
    assert_eq!(samples(&test), [(61, 0), (62, 0), (61, 1)]);
}

#[test]
fn hostile_lines_of_a_list_are_named() {
    let whole = archive(&[("data/a/1.png", "1"), ("data/b/2 3.png", "2"), ("outside.png", "3")]);
    let folder = whole.path().join("data");
    let list = folder.join("list.tsv");
    let open = |text: &str, part| {
        fs::write(&list, text).unwrap();
        ListedDataset::open(ListLayout::List, part, &FolderConfig::new(&list))
    };
    let good = "# image, class, part\na/1.png\tgood\ttrain\n\nb/2 3.png\tgood\ttest\n";
    assert_eq!(samples(&open(good, Part::Train).unwrap()), [(1, 0)]);
    assert_eq!(samples(&open(good, Part::Test).unwrap()), [(2, 0)]);
    // With a byte order mark, as some editors write it.
    assert_eq!(samples(&open(&format!("\u{feff}{good}"), Part::Train).unwrap()), [(1, 0)]);
    assert!(!DataSource::Listed(ListLayout::List, list.clone()).has_validation());
    let error = open("a/1.png\tgood\ttrain\n", Part::Test).unwrap_err();
    assert!(matches!(&error, DataError::MissingPart { folder, .. } if *folder == list), "{error}");
    let outside = |fault: &ListFault| matches!(fault, ListFault::Outside { .. });
    let syntax = |fault: &ListFault| matches!(fault, ListFault::Syntax { .. });
    let absolute = folder.join("a/1.png").display().to_string();
    for (image, class, part, is_expected) in [
        ("../outside.png", "good", "train", &outside as &dyn Fn(&ListFault) -> bool),
        ("a/../../outside.png", "good", "train", &outside),
        ("a/../a/1.png", "good", "train", &outside),
        (&absolute, "good", "train", &outside),
        ("a\\1.png", "good", "train", &outside),
        ("", "good", "train", &syntax),
        ("b/2 3.png", "", "train", &syntax),
        ("b/2 3.png", "good", "training", &syntax),
        ("b/2 3.png", "bad", "test", &|fault| matches!(fault, ListFault::UnknownClass { .. })),
        ("b/3.png", "good", "train", &|fault| matches!(fault, ListFault::MissingImage { .. })),
        ("b", "good", "train", &|fault| matches!(fault, ListFault::MissingImage { .. })),
        ("a/1.png", "good", "test", &|fault| matches!(fault, ListFault::Twice { first: Part::Train, .. })),
    ] {
        let error =
            open(&format!("a/1.png\tgood\ttrain\n{image}\t{class}\t{part}\n"), Part::Train).unwrap_err();
        let (name, line, fault) = fault(error);
        assert_eq!((&*name, line), ("list.tsv", 2));
        assert!(is_expected(&fault), "{image} {class} {part}: {fault}");
    }
    let error = open("a/1.png\tgood\n", Part::Train).unwrap_err();
    assert!(matches!(fault(error), (_, 1, ListFault::Syntax { .. })));
    fs::write(&list, b"a/1.png\tgood\ttrain\n\xff\xfe\n").unwrap();
    let error = ListedDataset::open(ListLayout::List, Part::Train, &FolderConfig::new(&list)).unwrap_err();
    assert_eq!(fault(error), ("list.tsv".to_owned(), 2, ListFault::NotText));
}
