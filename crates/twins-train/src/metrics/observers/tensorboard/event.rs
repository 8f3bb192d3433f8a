//! The protocol-buffer messages of an event file that training needs: `Event` with `Summary` or `SessionLog`
//! (`event.proto` and `summary.proto` of TensorFlow). They have four kinds of fields, for which `prost` with its macros would be a
//! large dependency.

/// Encodes the first event of every file, which contains the version of the format.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    [header(wall_time, 0), bytes_field(3, b"brain.Event:2")].concat()
}

/// Encodes the restart of a run at `step`. TensorBoard discards earlier events of this and later steps.
pub(super) fn session_start(wall_time: f64, step: u64) -> Vec<u8> {
    // SessionLog { status: START }
    let log = [tag(1, VARINT), varint(1)].concat();
    [header(wall_time, step), bytes_field(7, &log)].concat()
}

/// Encodes the numbers of a step by name. TensorBoard stores them in single precision.
pub(super) fn scalars(wall_time: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let summary: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| {
            let number = [tag(2, FIXED32), (*value as f32).to_le_bytes().to_vec()].concat();
            bytes_field(1, &[bytes_field(1, name.as_bytes()), number].concat())
        })
        .collect();
    [header(wall_time, step), bytes_field(5, &summary)].concat()
}

/// Encodes the time in seconds since 1970, and the step. A step of 0 is omitted, as usual in protocol buffers.
fn header(wall_time: f64, step: u64) -> Vec<u8> {
    let time = [tag(1, FIXED64), wall_time.to_le_bytes().to_vec()].concat();
    if step == 0 { time } else { [time, tag(2, VARINT), varint(step)].concat() }
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;

fn tag(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

fn bytes_field(field: u64, bytes: &[u8]) -> Vec<u8> {
    [tag(field, LENGTH_DELIMITED), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// Encodes seven bits per byte, the lowest first. The highest bit of a byte means that more bytes follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::record;
    use super::*;

    #[test]
    fn varints_by_hand() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(127), [0x7f]);
        // 300 = 0b10_0101100.
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(u64::MAX).len(), 10);
    }

    #[test]
    fn events_by_hand() {
        // 1.0 is 0x3ff0000000000000 in double precision, 0.5 is 0x3f000000 in single.
        let one = [0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
        let time = [&[0x09], one.as_slice()].concat();
        assert_eq!(version(1.0), [time.as_slice(), &[0x1a, 13], b"brain.Event:2"].concat());
        assert_eq!(
            session_start(1.0, 300),
            [time.as_slice(), &[0x10, 0xac, 0x02, 0x3a, 2, 0x08, 1]].concat()
        );
        let value = [&[0x0a, 4], b"loss".as_slice(), &[0x15, 0, 0, 0, 0x3f]].concat();
        let summary = [&[0x0a, value.len() as u8], value.as_slice()].concat();
        let expected = [time.as_slice(), &[0x10, 3, 0x2a, summary.len() as u8], &summary].concat();
        assert_eq!(scalars(1.0, 3, &[("loss".to_owned(), 0.5)]), expected);
    }
    // The golden file's value.
    #[allow(clippy::approx_constant)]
    #[test]
    fn the_bytes_are_those_of_tensorboard() {
        let named = |values: [(&str, f64); 2]| values.map(|(name, value)| (name.to_owned(), value));
        let events = [
            version(1.0),
            scalars(1_700_000_000.25, 1, &named([("step/loss", 2.302585), ("step/accuracy", 0.125)])),
            scalars(
                1_700_000_001.5,
                300,
                &named([("epoch/loss", -0.0), ("epoch/objective/natural_branch", 1e-30)]),
            ),
            session_start(1_700_000_002.0, 1 << 40),
        ];
        let records: Vec<u8> = events.iter().flat_map(|event| record::encode(event)).collect();
        let expected = include_bytes!("../../../../tests/golden/tensorboard_events/events.bin");
        assert_eq!(records, expected);
    }
}
