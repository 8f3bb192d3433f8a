//! Damaged and hostile files: an error or a network, never a panic, never a long wait, and never more memory than four times the
//! file and 64 MiB.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Device;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use safetensors::tensor::{Dtype, TensorView};
use twins_testing::{Counting, allowance, check_message, each_damaged, peak};
use zip::ZipArchive;

use crate::architectures::architecture::Architecture;
use crate::architectures::golden::{golden, reduced_net};
use crate::error::ModelError;
use crate::import::load::{load_pretrained, load_weights};
use crate::import::options::ImportOptions;
use crate::model_file::card::ModelCard;
use crate::model_file::file::save_model;
use crate::network::config::ModelConfig;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Small files of every form, and the reduced network that each holds.
const FILES: [(&str, &str); 9] = [
    ("torch/mnist_cnn.safetensors", "mnist_cnn"),
    ("torch/cifar.safetensors", "cifar"),
    ("formats/zip.pt", "mnist_cnn"),
    ("formats/legacy.pt", "mnist_cnn"),
    ("formats/half.pt", "mnist_cnn"),
    ("formats/nested.pth.tar", "mnist_cnn"),
    ("formats/whole_module.pt", "mnist_cnn"),
    ("formats/robust_transfer.ckpt", "bottleneck"),
    ("formats/calls_eval.pkl", "mnist_cnn"),
];

/// And two that are written here: a record of Burn, and a model file.
fn written(folder: &Path) -> [Vec<u8>; 2] {
    let net = reduced_net("cifar", &Device::flex());
    let (record, model) = (folder.join("record.bpk"), folder.join("model.safetensors"));
    let card = ModelCard::new(&net, ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec()).unwrap();
    save_model(&model, &net, &card).unwrap();
    net.into_record().save(&record).unwrap();
    [record, model].map(|path| fs::read(path).unwrap())
}

/// Reads a file in every way, and returns the errors.
fn read(name: &str, path: &Path) -> Vec<ModelError> {
    let net = reduced_net(name, &Device::flex());
    let config = net.config().clone();
    let options = ImportOptions::new();
    let errors = [
        load_weights(net, path, &options).err(),
        // With the number of classes that the file has, and a network that it is too small for.
        load_pretrained(&config, path, &options, &Device::flex()).err(),
        ModelCard::read(path).err(),
    ];
    errors.into_iter().flatten().collect()
}

#[test]
fn damaged_files_are_refused_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let [record, model] = written(folder.path());
    let mut files: Vec<(&str, Vec<u8>)> =
        FILES.iter().map(|(path, name)| (*name, fs::read(golden(path)).unwrap())).collect();
    files.extend([("cifar", record), ("cifar", model)]);
    let path = folder.path().join("damaged.pt");
    each_damaged(&files, 1100, |name, bytes| {
        fs::write(&path, bytes).unwrap();
        for error in read(name, &path) {
            let message = error.to_string();
            assert!(message.contains("damaged.pt"), "{message}");
            check_message(&message);
        }
    });
}

/// The message of the error that reading a network's file gives, within the limits of the file's size.
fn refused(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pt");
    fs::write(&path, bytes).unwrap();
    let net = reduced_net("mnist_cnn", &Device::flex());
    let (error, allocated) = peak(|| load_weights(net, &path, &ImportOptions::new()).err());
    assert!(allocated <= allowance(bytes.len()), "{allocated} bytes for {}", bytes.len());
    let message = error.expect("no network is in this file").to_string();
    check_message(&message);
    message
}

/// An archive as PyTorch writes it, with these entries, each deflated.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        let deflated = encoder.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(content);
        // Version, flags, method, time, date; checksum, sizes, length of the name, no extra fields.
        let mut shared: Vec<u8> = [20u16, 0, 8, 0, 0].into_iter().flat_map(u16::to_le_bytes).collect();
        let sizes = [crc.sum(), deflated.len() as u32, content.len() as u32];
        shared.extend(sizes.into_iter().flat_map(u32::to_le_bytes));
        shared.extend([name.len() as u16, 0].into_iter().flat_map(u16::to_le_bytes));
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&shared);
        // No comment, disk 0, attributes, and where the entry begins.
        directory.extend([0; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(shared);
        file.extend(name.as_bytes());
        file.extend(deflated);
    }
    let end = end_of(entries.len() as u16, directory.len() as u32, file.len() as u32);
    [file, directory, end].concat()
}

/// The last record of an archive.
fn end_of(entries: u16, size: u32, offset: u32) -> Vec<u8> {
    let counts = [0, 0, entries, entries].into_iter().flat_map(u16::to_le_bytes);
    let places = [size, offset].into_iter().flat_map(u32::to_le_bytes);
    b"PK\x05\x06".iter().copied().chain(counts).chain(places).chain([0, 0]).collect()
}

/// A dictionary of `count` fetches of what `begin` leaves in place 1 of the memo.
fn repeated(begin: &[u8], count: usize) -> Vec<u8> {
    [&b"\x80\x02"[..], begin, b"q\x01(", &b"h\x01".repeat(count)[..], b"l."].concat()
}

#[test]
fn what_a_few_bytes_repeat_is_counted_as_often() {
    // Copies of a long key and of a long name are gigabytes.
    let length = 60_000u32.to_le_bytes();
    let long = [b'k'; 60_000];
    let key = [&b"}X"[..], &length, &long, b"Ns"].concat();
    let name = [&b"cmodule\n"[..], &long, b"\n"].concat();
    for begin in [key, name] {
        let pickle = repeated(&begin, 40_000);
        let message = refused(&pickle);
        assert!(message.contains("by repeating some of them"), "{message}");
        let message = refused(&archive(&[("archive/data.pkl", &pickle)]));
        assert!(message.contains("by repeating some of them"), "{message}");
    }
}

#[test]
fn long_names_of_many_entries_are_refused() {
    // {key: [class, class, …]}: the name of each entry begins with the key.
    let length = 60_000u32.to_le_bytes();
    let begin = [&b"\x80\x02cmodule\nname\nq\x010}X"[..], &length, &[b'k'; 60_000], b"("].concat();
    let pickle = [&begin[..], &b"h\x01".repeat(20_000)[..], b"ls."].concat();
    let message = refused(&pickle);
    assert!(message.contains("full names of its entries take more than"), "{message}");
}

#[test]
fn a_pickle_that_only_another_reader_finds_is_refused() {
    let none = |count: usize| [&b"\x80\x02("[..], &b"N".repeat(count)[..], b"l."].concat();
    let harmless = archive(&[("archive/data.pkl", b"\x80\x02}.")]);
    assert!(refused(&harmless).contains("it holds no tensors"), "the archives of this test can be read");

    // Three million objects, in the pickle with the shorter path, behind other data, and in front of a comment.
    let bomb = none(3_000_000);
    let hidden = archive(&[("archive/data.pkl", &bomb)]);
    let shorter = archive(&[("archive/data.pkl", b"\x80\x02}."), ("a/data.pkl", &bomb)]);
    let shifted = [&b"PK\x03\x04"[..], &hidden[..]].concat();
    let mut commented = [&hidden[..], b"a comment"].concat();
    let length = hidden.len();
    commented[length - 2] = 9;
    for bytes in [shorter, shifted, commented] {
        let message = refused(&bytes);
        assert!(
            message.contains("its pickle unfolds to") || message.contains("its pickle builds"),
            "{message}"
        );
    }
    // Of two directories, the scan and the reader use the last one, which is empty.
    let two_directories = [&hidden[..], &end_of(0, 0, 0)[..]].concat();
    let message = refused(&two_directories);
    assert!(message.contains("No data.pkl entry"), "{message}");
    let message = refused(&hidden);
    assert!(message.contains("its pickle unfolds to") || message.contains("its pickle builds"), "{message}");
}

#[test]
fn an_archive_of_old_form_is_refused_before_it_is_read() {
    // The header of a sparse entry `pickle`, which declares a terabyte of zeros.
    let mut header = vec![0; 1024];
    header[..6].copy_from_slice(b"pickle");
    header[156] = b'S';
    header[257..265].copy_from_slice(b"ustar  \0");
    header[483..495].copy_from_slice(b"077777777777");
    let message = refused(&header);
    assert!(message.contains("TAR archive from before PyTorch 0.1.10"), "{message}");
    // Also where the header begins like a pickle, or like a ZIP archive.
    for begin in [b"\x80\x02", b"PK"] {
        header[..2].copy_from_slice(begin);
        assert!(refused(&header).contains("TAR archive"));
    }
}

#[test]
fn names_in_an_archive_are_not_paths() {
    let mut whole = ZipArchive::new(fs::File::open(golden("formats/zip.pt")).unwrap()).unwrap();
    let entries: Vec<(String, Vec<u8>)> = (0..whole.len())
        .map(|index| {
            let mut entry = whole.by_index(index).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let name = entry.name().unwrap().replacen("zip/", "../../x/", 1);
            (name, content)
        })
        .collect();
    let entries: Vec<(&str, &[u8])> =
        entries.iter().map(|(name, content)| (name.as_str(), &content[..])).collect();
    assert!(entries.iter().all(|(name, _)| name.starts_with("../../x/")), "{entries:?}");
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/b")).unwrap();
    let path = folder.path().join("a/b/hostile.pt");
    fs::write(&path, archive(&entries)).unwrap();
    let net = reduced_net("mnist_cnn", &Device::flex());
    let (_, report) = load_weights(net, &path, &ImportOptions::new()).unwrap();
    assert_eq!(report.mapped.len(), 8, "it is read as usual");
    // Neither from the folder of the file, nor from that of the process.
    for (place, only) in [("", "a"), ("a", "b"), ("a/b", "hostile.pt")] {
        let entries = fs::read_dir(folder.path().join(place)).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [only]);
    }
    assert!(!Path::new("../../x").exists());
}

#[test]
fn names_do_not_reach_a_terminal_as_they_are() {
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let key = safetensors::serialize([("a\u{1b}[2J\nb", view)], None).unwrap();
    let message = refused(&key);
    assert!(message.contains("unexpected: a\\u{1b}[2J\\nb [1]"), "{message}");
    let function = refused(b"\x80\x02cos\nsys\x1b[2Jtem\n.");
    assert!(function.contains("os.sys\\u{1b}[2Jtem"), "{function}");
}

#[test]
fn a_header_that_is_none_is_not_quoted() {
    // The older form, whose list of keys is a tuple of 700 copies of a text. Quoted, it would be hundreds of megabytes.
    let pickle = |content: &[u8]| [&b"\x80\x02"[..], content, b"."].concat();
    let keys =
        [&b"(X"[..], &60_000u32.to_le_bytes(), &[7_u8; 60_000], b"q\x01", &b"h\x01".repeat(700)[..], b"t"]
            .concat();
    let bytes = [
        pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"),
        pickle(b"M\xe9\x03"),
        pickle(b"}X\x0d\0\0\0little_endian\x88s"),
        pickle(b"}"),
        pickle(&keys),
    ];
    let message = refused(&bytes.concat());
    assert!(message.contains("builds objects of more than 2097152 bytes"), "{message}");
}

#[test]
fn an_entry_that_unfolds_far_is_refused() {
    // 40 MB of zeros in 40 kB. A tensor may begin and end anywhere in them.
    let zeros = vec![0_u8; 40_000_000];
    let bytes = archive(&[("archive/data.pkl", b"\x80\x02}."), ("archive/data/0", &zeros)]);
    let message = refused(&bytes);
    assert!(message.contains("an entry unfolds to 40000000 bytes"), "{message}");
}

/// A tensor of this shape, all of whose values are the only one of storage 0.
fn repeated_value(shape: &[u32]) -> Vec<u8> {
    let tuple = |numbers: &[u32]| {
        let items = numbers.iter().flat_map(|number| [&b"J"[..], &number.to_le_bytes()].concat());
        [&b"("[..], &items.collect::<Vec<u8>>(), b"t"].concat()
    };
    let storage = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x01tQK\0";
    let strides = vec![0; shape.len()];
    [&b"ctorch._utils\n_rebuild_tensor_v2\n"[..], storage, &tuple(shape), &tuple(&strides), b"\x89}tR"]
        .concat()
}

#[test]
fn a_head_that_a_few_bytes_declare_is_not_made() {
    // A million biases, and a weight that does not fit them: where that is allowed, 400 MB of initial values took its place.
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let pickle = [
        b"\x80\x02}(".to_vec(),
        text("7.bias"),
        repeated_value(&[1_000_000]),
        text("7.weight"),
        repeated_value(&[1_000_000, 7]),
        b"u.".to_vec(),
    ]
    .concat();
    let bytes = archive(&[("archive/data.pkl", &pickle), ("archive/data/0", &[0_u8; 4])]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.pt");
    fs::write(&path, &bytes).unwrap();
    let config = ModelConfig::new(Architecture::MnistCnn, 10);
    let options = ImportOptions::new().with_allow("*");
    let (net, allocated) = peak(|| load_pretrained(&config, &path, &options, &Device::flex()));
    assert!(allocated <= allowance(bytes.len()), "{allocated} bytes for {}", bytes.len());
    assert_eq!(net.unwrap().0.num_classes(), 10);
}

#[test]
fn a_key_of_many_parts_takes_no_long_time() {
    let view = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
    let bytes = safetensors::serialize([(".".repeat(400_000), view)], None).unwrap();
    let begin = Instant::now();
    refused(&bytes);
    // Milliseconds, but tests run side by side. With all that follows each dot, it would be a minute.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn an_error_in_a_card_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let [_, mut model] = written(folder.path());
    // In a text in a text.
    let classes = br#"num_classes\":5"#;
    let place = model.windows(classes.len()).position(|window| window == classes).unwrap();
    model[place + classes.len() - 1] = b'1';
    let path = folder.path().join("hostile.safetensors");
    fs::write(&path, model).unwrap();
    let error = ModelCard::read(&path).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("hostile.safetensors") && message.contains("at least 2"), "{message}");
    // It is no file of another program, which only lacks the name of its architecture.
    assert!(matches!(error, ModelError::DamagedCard { .. }), "{message}");
}
