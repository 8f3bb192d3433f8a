/// Whether a JPEG stream reaches its end-of-image marker.
///
/// Decoders fill the missing part of a truncated file with grey and report success, so this function searches for the
/// end first. Segments are skipped by their lengths, because embedded thumbnails have their own end markers (ITU-T
/// T.81, section B.1.1).
pub(crate) fn has_end_of_image(bytes: &[u8]) -> bool {
    const START_OF_IMAGE: u8 = 0xd8;
    const END_OF_IMAGE: u8 = 0xd9;
    let mut position = 0;
    while let Some(offset) = bytes.get(position..).and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        position += offset + 1;
        match bytes.get(position) {
            None => return false,
            Some(&END_OF_IMAGE) => return true,
            // Fill byte: the marker follows.
            Some(0xff) => {}
            // Stuffed zero of entropy-coded data, and markers without a length.
            Some(0x00 | 0x01 | 0xd0..=0xd7 | &START_OF_IMAGE) => position += 1,
            Some(_) => {
                let Some(&[high, low]) = bytes.get(position + 1..position + 3) else {
                    return false;
                };
                position += 1 + usize::from(u16::from_be_bytes([high, low]));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_over_segments_and_entropy_coded_data() {
        // Start; an application segment of 4 bytes that holds an end marker; a scan with a stuffed zero, a
        // restart marker and a fill byte; the end.
        let complete = [
            0xff, 0xd8, 0xff, 0xe1, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 7, 0xff, 0, 0xff, 0xd0, 9, 0xff,
            0xff, 0xd9,
        ];
        assert!(has_end_of_image(&complete));
        for length in 0..complete.len() {
            assert!(!has_end_of_image(&complete[..length]), "{length}");
        }
    }
}
