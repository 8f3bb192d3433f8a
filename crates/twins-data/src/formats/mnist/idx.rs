use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::error::DataError;
use crate::file::{allocation_limit, io_error, open};

/// The content of an IDX file of bytes. Its magic number ends with the number of dimensions.
///
/// Format: Y. LeCun et al., "The MNIST database of handwritten digits", section "File formats".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdxContent {
    Images,
    Labels,
}

impl IdxContent {
    fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }

    fn magic(self) -> u32 {
        match self {
            Self::Images => 0x0803,
            Self::Labels => 0x0801,
        }
    }

    fn dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }
}

/// The dimensions and bytes of an IDX file.
#[derive(Debug)]
pub(crate) struct Idx {
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
    /// The size of the file.
    file_size: u64,
}

impl Idx {
    /// The memory that the content takes in addition to four times the size of the file.
    pub(crate) fn excess(&self) -> u64 {
        (self.bytes.len() as u64).saturating_sub(self.file_size.saturating_mul(4))
    }
}

/// What a decompressor and the paths take in addition to the content, rounded up.
const WORKING: u64 = 1 << 20;

/// Reads an IDX file, plain or gzip (detected from its content, not its name). `taken` is what other files of the data set leave less of the
/// memory for this one.
pub(crate) fn read_idx(path: &Path, content: IdxContent, taken: u64) -> Result<Idx, DataError> {
    let (mut file, file_size) = open(path)?;
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start).map_err(io_error(path))?;
    file.rewind().map_err(io_error(path))?;
    let file = BufReader::new(file);
    let mut reader = if start == [0x1f, 0x8b] {
        Source { path, gzip: true, taken: 0, stream: Box::new(GzDecoder::new(file)) }
    } else {
        Source { path, gzip: false, taken: 0, stream: Box::new(file) }
    };

    let header_size = 4 + 4 * content.dimensions() as u64;
    let header = reader.take(header_size, header_size, "its header".to_owned())?;
    let mut words =
        header.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    let magic = words.next().expect("the header has its declared size");
    if magic != content.magic() {
        return Err(DataError::WrongMagic {
            path: path.to_path_buf(),
            content: content.name(),
            expected: content.magic(),
            found: magic,
        });
    }
    let dims: Vec<u32> = words.collect();

    let declared = dims.iter().fold(1u64, |product, &dim| product.saturating_mul(dim.into()));
    // A sample is a copy of an image, which may be the only one.
    let copied = match (content, dims.first()) {
        (IdxContent::Images, Some(&count)) => declared / u64::from(count.max(1)),
        _ => 0,
    };
    let needed = [copied, taken, WORKING].into_iter().fold(declared, u64::saturating_add);
    let limit = allocation_limit(file_size);
    if needed > limit {
        return Err(DataError::TooLarge { path: path.to_path_buf(), file_size, declared, limit });
    }
    let total = header_size + declared;
    let shown = dims.iter().map(u32::to_string).collect::<Vec<_>>().join(" x ");
    let description = format!("a header and {shown} bytes of {}", content.name());
    if !reader.gzip && file_size != total {
        let found = file_size;
        return Err(DataError::WrongSize {
            path: path.to_path_buf(),
            expected: total,
            declared: description,
            found,
        });
    }
    let bytes = reader.take(declared, total, description.clone())?;
    // Reading to the end also makes the decompressor verify its checksum.
    if !reader.is_at_end(total)? {
        return Err(DataError::WrongSize {
            path: path.to_path_buf(),
            expected: total,
            declared: description,
            found: total + 1,
        });
    }
    Ok(Idx { dims: dims.into_iter().map(|dim| dim as usize).collect(), bytes, file_size })
}

/// A stream with the information for its error messages.
struct Source<'a> {
    path: &'a Path,
    gzip: bool,
    taken: u64,
    stream: Box<dyn Read>,
}

impl Source<'_> {
    /// Reads exactly `count` bytes of a stream that should have `total`.
    fn take(&mut self, count: u64, total: u64, declared: String) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::with_capacity(count as usize);
        let outcome = (&mut self.stream).take(count).read_to_end(&mut bytes);
        self.taken += bytes.len() as u64;
        outcome.map_err(|source| self.error(source, total))?;
        if bytes.len() as u64 == count {
            return Ok(bytes);
        }
        Err(DataError::WrongSize {
            path: self.path.to_path_buf(),
            expected: total,
            declared,
            found: self.taken,
        })
    }

    fn is_at_end(&mut self, total: u64) -> Result<bool, DataError> {
        let read = self.stream.read(&mut [0]);
        read.map(|count| count == 0).map_err(|source| self.error(source, total))
    }

    fn error(&self, source: io::Error, total: u64) -> DataError {
        if self.gzip {
            let (expected, found) = (format!("at least {total}"), self.taken);
            DataError::Gzip { path: self.path.to_path_buf(), expected, found, source }
        } else {
            DataError::Io { path: self.path.to_path_buf(), source }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// Three images of 2 x 2 pixels.
    fn images() -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [0x0803u32, 3, 2, 2] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(0..12);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(bytes: &[u8]) -> Result<Idx, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images-idx3-ubyte");
        std::fs::write(&path, bytes).unwrap();
        read_idx(&path, IdxContent::Images, 0)
    }

    #[test]
    fn reads_plain_and_gzip() {
        for bytes in [images(), gzip(&images())] {
            let idx = read_bytes(&bytes).unwrap();
            assert_eq!(idx.dims, [3, 2, 2]);
            assert_eq!(idx.bytes, (0..12).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn names_file_and_sizes_when_truncated() {
        let error = read_bytes(&images()[..20]).unwrap_err();
        assert!(matches!(error, DataError::WrongSize { expected: 28, found: 20, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("images-idx3-ubyte") && message.contains("3 x 2 x 2"), "{message}");

        let compressed = gzip(&images());
        // Before and in the middle of the data, and within the checksum at the end.
        for length in [3, compressed.len() - 12, compressed.len() - 3] {
            let error = read_bytes(&compressed[..length]).unwrap_err();
            assert!(matches!(error, DataError::Gzip { .. }), "{length}: {error}");
            assert!(error.to_string().contains("images-idx3-ubyte"));
        }
    }

    #[test]
    fn refuses_more_data_than_declared() {
        let mut longer = images();
        longer.push(0);
        let error = read_bytes(&longer).unwrap_err();
        assert!(matches!(error, DataError::WrongSize { expected: 28, found: 29, .. }), "{error}");
        let error = read_bytes(&gzip(&longer)).unwrap_err();
        assert!(matches!(error, DataError::WrongSize { expected: 28, found: 29, .. }), "{error}");
    }

    #[test]
    fn refuses_less_compressed_data_than_declared() {
        let error = read_bytes(&gzip(&images()[..20])).unwrap_err();
        assert!(matches!(error, DataError::WrongSize { expected: 28, found: 20, .. }), "{error}");
    }

    #[test]
    fn refuses_other_kinds_of_file() {
        let mut labels = images();
        labels[3] = 1;
        let error = read_bytes(&labels).unwrap_err();
        assert!(matches!(error, DataError::WrongMagic { expected: 0x0803, found: 0x0801, .. }), "{error}");
        assert!(matches!(read_bytes(b"").unwrap_err(), DataError::WrongSize { found: 0, .. }));
    }

    #[test]
    fn refuses_absurd_sizes_before_allocating() {
        let mut bytes = images();
        bytes[4..16].fill(0xff);
        for bytes in [bytes.clone(), gzip(&bytes)] {
            let error = read_bytes(&bytes).unwrap_err();
            assert!(matches!(error, DataError::TooLarge { declared: u64::MAX, .. }), "{error}");
        }
    }

    #[test]
    fn what_is_in_memory_at_the_same_time_is_counted() {
        let header = |dims: [u32; 3]| -> Vec<u8> {
            [0x0803].into_iter().chain(dims).flat_map(u32::to_be_bytes).collect()
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images-idx3-ubyte");
        // 60 MiB in one image, which a sample copies; in many; and in many beside other files.
        let mib = 1 << 20;
        for (dims, taken, refused) in
            [([1, 60, mib], 0, true), ([60, 1, mib], 0, false), ([60, 1, mib], 10 << 20, true)]
        {
            std::fs::write(&path, gzip(&header(dims))).unwrap();
            let error = read_idx(&path, IdxContent::Images, taken).unwrap_err();
            assert_eq!(matches!(error, DataError::TooLarge { .. }), refused, "{dims:?}: {error}");
        }
    }
}
