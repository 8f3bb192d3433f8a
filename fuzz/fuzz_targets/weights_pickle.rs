//! PyTorch's files. An even first byte: ZIP archives, streams of pickles, and plain pickles. An odd one: a pickle, of which the target makes
//! an archive. Its checksums fit, which those of changed archives hardly ever do.

#![no_main]

use burn_twins_fuzz::{choice, weights};
use flate2::Crc;
use libfuzzer_sys::fuzz_target;

/// How many numbers each storage of an archive has. `seeds.py` has the tensors.
const STORAGES: [u16; 3] = [256, 16, 10];

/// An archive as PyTorch writes it, without compression.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let storages = STORAGES.map(|count| {
        (0..count).flat_map(|index| (f32::from(index % 17) / 16.0).to_le_bytes()).collect::<Vec<u8>>()
    });
    let members: [(&str, &[u8]); 6] = [
        ("archive/data.pkl", pickle),
        ("archive/byteorder", b"little"),
        ("archive/data/0", &storages[0]),
        ("archive/data/1", &storages[1]),
        ("archive/data/2", &storages[2]),
        ("archive/version", b"3\n"),
    ];
    let (mut file, mut directory): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut crc = Crc::new();
        crc.update(content);
        let length = content.len() as u32;
        // Version, flags, method, time, date; checksum, both sizes; lengths of the name and of further fields.
        let mut shared: Vec<u8> = [20_u16, 0, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes).collect();
        shared.extend([crc.sum(), length, length].into_iter().flat_map(u32::to_le_bytes));
        shared.extend([name.len() as u16, 0].into_iter().flat_map(u16::to_le_bytes));
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&shared);
        // No comment, disk 0, attributes, and where the member begins.
        directory.extend([0_u8; 10]);
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&shared);
        file.extend(name.as_bytes());
        file.extend(content);
    }
    let count = members.len() as u16;
    let counts = [0, 0, count, count].into_iter().flat_map(u16::to_le_bytes);
    let places = [directory.len() as u32, file.len() as u32].into_iter().flat_map(u32::to_le_bytes);
    let end: Vec<u8> = b"PK\x05\x06".iter().copied().chain(counts).chain(places).chain([0, 0]).collect();
    [file, directory, end].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let (which, rest) = choice(bytes);
    if which % 2 == 0 { weights(rest) } else { weights(&archive(rest)) }
});
