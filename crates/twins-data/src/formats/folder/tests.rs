//! Tests of [`FolderConfig`] and [`FolderDataset`].

use burn_dataset::Dataset;
use image::{Rgb, RgbImage};

use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::formats::folder::config::{FolderConfig, NonImages};
use crate::formats::folder::dataset::FolderDataset;
use crate::images::decode::Channels;
use crate::images::preprocessing::Preprocessing;

/// Writes PNG files of one colour; the value is width and red.
fn folder(files: &[(&str, u32)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, width) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(*width, 4, Rgb([*width as u8, 0, 0])).save(path).unwrap();
    }
    folder
}

#[test]
fn orders_classes_and_files_by_name() {
    let folder = folder(&[("b/2.png", 4), ("b/10.PNG", 4), ("a/1.png", 4), ("C/1.png", 4)]);
    let dataset = FolderDataset::open(folder.path()).unwrap();
    assert_eq!(dataset.classes(), ["C", "a", "b"]);
    assert_eq!(dataset.labels().unwrap(), [0, 1, 2, 2]);
    assert!(dataset.path(2).ends_with("b/10.PNG"));
    assert_eq!(dataset.image_shape(), [3, 4, 4]);
    assert_eq!(dataset.get(3).unwrap().image.pixels[0], 4);
}

#[test]
fn follows_a_list_of_classes() {
    let folder = folder(&[("a/1.png", 4), ("b/1.png", 4)]);
    let classes = ["b", "none", "a"].map(str::to_owned).to_vec();
    let config = FolderConfig::new(folder.path());
    let dataset = config.clone().with_classes(classes).open().unwrap();
    assert_eq!(dataset.labels().unwrap(), [0, 2]);
    assert!(dataset.path(0).ends_with("b/1.png"));

    let error = config.clone().with_classes(vec!["a".to_owned()]).open().unwrap_err();
    assert!(matches!(&error, DataError::UnknownClass { path, .. } if path.ends_with("b")), "{error}");
    let error = config.with_classes(["a", "b", "a"].map(str::to_owned).to_vec()).open().unwrap_err();
    assert!(matches!(&error, DataError::DuplicateClass { name, .. } if name == "a"), "{error}");
}

#[test]
fn names_the_image_of_another_size() {
    let folder = folder(&[("a/1.png", 4), ("a/2.png", 5)]);
    let error = FolderDataset::open(folder.path()).unwrap().get(1).unwrap_err();
    assert!(matches!(error, DataError::MixedSizes { found: [3, 4, 5], expected: [3, 4, 4], .. }));
    assert!(error.to_string().contains("2.png is 5 x 4 pixels"), "{error}");
}

#[test]
fn a_preprocessing_brings_all_to_one_size() {
    let folder = folder(&[("a/1.png", 4), ("a/2.png", 9)]);
    let preprocessing = Preprocessing::ResizeCrop { resize: 8, crop: 6 };
    let config = FolderConfig::new(folder.path()).with_preprocessing(preprocessing);
    for cache_bytes in [0, 1 << 20] {
        let dataset = config.clone().with_cache_bytes(cache_bytes).open().unwrap();
        assert_eq!(dataset.image_shape(), [3, 6, 6]);
        for _ in 0..2 {
            assert_eq!(dataset.get(1).unwrap().image.pixels[..36], [9; 36]);
            assert_eq!(dataset.original(1).unwrap().image.shape, [3, 4, 9]);
        }
    }
    let preprocessing = Preprocessing::ResizeCrop { resize: 4, crop: 6 };
    let error = config.with_preprocessing(preprocessing).open().unwrap_err();
    assert!(matches!(error, DataError::InvalidSetting { .. }), "{error}");
}

#[test]
fn refuses_or_skips_what_is_no_image() {
    let folder = folder(&[("a/1.png", 4), ("a/2.png", 4)]);
    std::fs::write(folder.path().join("a/notes.txt"), "text").unwrap();
    let error = FolderDataset::open(folder.path()).unwrap_err();
    assert!(matches!(&error, DataError::NotAnImage { path } if path.ends_with("notes.txt")), "{error}");

    std::fs::write(folder.path().join("a/1.png"), "text").unwrap();
    let dataset = FolderConfig::new(folder.path()).with_non_images(NonImages::Skip).open().unwrap();
    assert_eq!(dataset.len(), 1);
    let skipped = ["a/1.png", "a/notes.txt"].map(|name| folder.path().join(name));
    assert_eq!(dataset.skipped(), skipped);
}

#[test]
fn ppm_and_pgm_are_images() {
    let folder = folder(&[("a/1.png", 4)]);
    std::fs::write(folder.path().join("a/2.ppm"), [&b"P6 4 4 255\n"[..], &[5; 48]].concat()).unwrap();
    std::fs::write(folder.path().join("a/3.PGM"), [&b"P5 4 4 255\n"[..], &[6; 16]].concat()).unwrap();
    for non_images in [NonImages::Refuse, NonImages::Skip] {
        let dataset = FolderConfig::new(folder.path()).with_non_images(non_images).open().unwrap();
        let first = |index| dataset.get(index).unwrap().image.pixels[47];
        assert_eq!([dataset.len(), first(1).into(), first(2).into()], [3, 5, 6]);
    }
}

#[test]
fn names_an_image_that_is_none() {
    let folder = folder(&[("a/1.png", 4), ("a/2.png", 4)]);
    std::fs::write(folder.path().join("a/2.png"), "text").unwrap();
    let error = FolderDataset::open(folder.path()).unwrap().get(1).unwrap_err();
    assert!(matches!(&error, DataError::NotAnImage { path } if path.ends_with("a/2.png")), "{error}");
}

#[test]
fn refuses_empty_folders() {
    let folder = folder(&[("a/1.png", 4)]);
    assert!(matches!(FolderDataset::open(folder.path().join("a")), Err(DataError::NoClasses { .. })));
    assert!(matches!(FolderDataset::open(folder.path().join("none")), Err(DataError::Io { .. })));
    std::fs::create_dir(folder.path().join("b")).unwrap();
    let error = FolderDataset::open(folder.path()).unwrap_err();
    assert!(matches!(&error, DataError::EmptyClass { path } if path.ends_with("b")), "{error}");
}

#[cfg(unix)]
#[test]
fn refuses_classes_of_one_name() {
    let folder = folder(&[("cat/1.png", 4), ("cat /1.png", 4)]);
    let error = FolderDataset::open(folder.path()).unwrap_err();
    assert!(matches!(&error, DataError::DuplicateClass { name, .. } if name == "cat"), "{error}");
}

#[test]
fn a_configuration_is_read_as_it_is_written() {
    for (config, expected) in [
        (FolderConfig::new("pets"), r#""channels":"rgb","non_images":"refuse","preprocessing":"as-stored""#),
        (
            FolderConfig::new("pets")
                .with_channels(Channels::Grey)
                .with_non_images(NonImages::Skip)
                .with_preprocessing(Preprocessing::IMAGENET),
            r#""channels":"grey","non_images":"skip","preprocessing":"256/224""#,
        ),
    ] {
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(expected), "{json}");
        assert_eq!(serde_json::from_str::<FolderConfig>(&json).unwrap(), config);
    }
}
