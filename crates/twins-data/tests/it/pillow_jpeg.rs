//! JPEG decoding against Pillow; `golden/jpeg` says how the files were made.

use burn_dataset::Dataset;
use twins_data::FolderDataset;

#[test]
fn jpeg_is_decoded_as_by_pillow() {
    let golden = twins_testing::repository().join("crates/twins-data/tests/golden/jpeg");
    let open = |folder: &str| FolderDataset::open(golden.join(folder)).unwrap();
    let (decoded, expected) = (open("encoded"), open("decoded"));
    assert_eq!(decoded.len(), 5);
    for index in 0..decoded.len() {
        let (got, expected) = (decoded.get(index).unwrap().image, expected.get(index).unwrap().image);
        assert_eq!(got.shape, expected.shape);
        let differences = got.pixels.iter().zip(&expected.pixels).map(|(&a, &b)| a.abs_diff(b));
        let largest = differences.clone().max().unwrap();
        let mean = differences.map(f64::from).sum::<f64>() / got.pixels.len() as f64;
        println!("{}: largest difference {largest}, mean {mean:.3}", decoded.path(index).display());
        // The standard leaves the rounding of the inverse transform open by one level (ITU-T T.83), which conversion
        // from luma and chroma turns into up to three; halved chroma is rounded twice where libjpeg-turbo rounds once
        // (docs/data.md, "JPEG compared with Pillow").
        assert!(largest <= 4 && mean < 0.6, "{largest}, {mean} in {}", decoded.path(index).display());
    }
}
