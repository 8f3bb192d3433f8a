//! Small files that stand for gigabytes.

use std::fs;
use std::io::Write;
use std::path::Path;

use burn::tensor::Device;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use twins_models::{Architecture, ImportOptions, ModelConfig, load_weights};
use twins_testing::{in_own_process, peak_memory};

/// An archive with deflated members, all named `x/data.pkl`. Each has its content and the size that it declares.
fn archive(members: &[(&[u8], usize)]) -> Vec<u8> {
    let name = b"x/data.pkl";
    let (mut file, mut directory): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for (pickle, declared) in members {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(pickle).unwrap();
        let packed = encoder.finish().unwrap();
        // Version, flags, method 8, time, date, checksum, sizes, lengths of name and extra field.
        let mut common = Vec::new();
        common.extend([20u16, 0, 8, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        common
            .extend([0, packed.len() as u32, *declared as u32].iter().flat_map(|field| field.to_le_bytes()));
        common.extend([name.len() as u16, 0].iter().flat_map(|field| field.to_le_bytes()));
        // Length of the comment, disk, attributes, position of the local header.
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name);
        file.extend(&packed);
    }
    let start = file.len() as u32;
    file.extend(&directory);
    let count = (members.len() as u16).to_le_bytes();
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count, count].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}

fn repeated(unit: &[u8], count: usize) -> Vec<u8> {
    let mut pickle = b"\x80\x02(".to_vec();
    pickle.extend(unit.repeat(count));
    pickle.extend(b"t.");
    pickle
}

fn message(path: &Path, bytes: &[u8]) -> String {
    fs::write(path, bytes).unwrap();
    let net = ModelConfig::new(Architecture::MnistCnn, 10).init(&Device::flex()).unwrap();
    load_weights(net, path, &ImportOptions::new()).unwrap_err().to_string()
}

#[test]
fn bombs_are_refused_in_little_memory() {
    in_own_process("memory::bombs_are_refused_in_little_memory", load_bombs);
}

fn load_bombs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.pt");
    let huge_shape = |shape: &str, end: u64| {
        let json = format!(r#"{{"0.weight":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend(json.as_bytes());
        file.extend([0; 16]);
        file
    };
    let none = repeated(b"N", 90_000_000);
    let archived = archive(&[(&none, none.len())]);
    let lying = archive(&[(&none, 1000)]);
    let few = repeated(b"N", 900_000);
    let many_in_little = archive(&[(&few, few.len())]);
    // Readers use the last of two members with the same name.
    let harmless = b"\x80\x02}.";
    let second = archive(&[(harmless, harmless.len()), (&few, few.len())]);
    let plain = repeated(b"N", 20_000_000);
    drop((none, few));
    let cases: [(&str, &[u8], &str); 7] = [
        ("a deflated pickle", &archived, "unfolds to"),
        ("a deflated pickle that lies about its size", &lying, "it is damaged"),
        ("many objects in a small pickle", &many_in_little, "its pickle builds"),
        ("many objects in the second pickle of this name", &second, "its pickle builds"),
        ("many objects in a plain pickle", &plain, "its pickle builds"),
        ("a shape that overflows", &huge_shape("[4611686018427387904,4]", 16), "safetensors header"),
        ("a shape beyond the file", &huge_shape("[1000000000]", 4_000_000_000), "safetensors header"),
    ];
    let before = peak_memory();
    for (what, bytes, reason) in cases {
        let message = message(&path, bytes);
        assert!(message.contains(reason), "{what}: {message}");
        if let (Some(before), Some(now)) = (before, peak_memory()) {
            // The promise is four times the file's size and 64 MiB.
            let allowed = 4 * bytes.len() as u64 + (64 << 20);
            assert!(now - before <= allowed, "{what}: {} bytes", now - before);
        }
    }
}

#[test]
fn header_lengths_beyond_the_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("header.safetensors");
    for length in [17u32, 1_000_000, u32::MAX] {
        let mut file = u64::from(length).to_le_bytes().to_vec();
        file.extend(b"{\"a\":{}}");
        let message = message(&path, &file);
        assert!(message.contains("no usable weight file"), "{message}");
    }
}
