//! Resizing and cropping against Pillow; `golden/pillow_resize` says how the images were made.

use burn_dataset::Dataset;
use twins_data::{FolderConfig, FolderDataset, Preprocessing};

#[test]
fn resizing_and_cropping_agree_with_pillow() {
    let golden = twins_testing::repository().join("crates/twins-data/tests/golden/pillow_resize");
    for (resize, crop) in [(32, 28), (256, 224)] {
        let preprocessing = Preprocessing::ResizeCrop { resize, crop };
        let input = golden.join(format!("input_{resize}_{crop}"));
        let resized = FolderConfig::new(input).with_preprocessing(preprocessing).open().unwrap();
        let expected = FolderDataset::open(golden.join(format!("expected_{resize}_{crop}"))).unwrap();
        assert_eq!(resized.len(), expected.len());
        for index in 0..expected.len() {
            let (got, expected) = (resized.get(index).unwrap().image, expected.get(index).unwrap().image);
            assert_eq!(got.shape, expected.shape);
            let differences = got.pixels.iter().zip(&expected.pixels).map(|(&a, &b)| a.abs_diff(b));
            let largest = differences.clone().max().unwrap();
            let differing = differences.filter(|&difference| difference > 0).count();
            println!("{}: largest difference {largest}, {differing} differ", resized.path(index).display());
            // Both filter rows and columns one after the other and round to bytes in between; the fixed-point
            // weights differ in their last bits, which may turn each rounding by one.
            assert!(largest <= 2, "{largest} in {}", resized.path(index).display());
        }
    }
}
