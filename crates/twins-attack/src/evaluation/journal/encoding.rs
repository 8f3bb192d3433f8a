//! The payloads of a journal's records. Numbers are little-endian.

use crate::engine::verification::Verification;
use crate::evaluation::identity::Identity;
use crate::evaluation::outcome::Outcome;

/// Encodes the first payload: the program's tag and the identity of the evaluation.
pub(super) fn encode_beginning(tag: &str, identity: &Identity) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in [tag, &identity.fingerprint] {
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes.push(u8::from(identity.randomised));
    encode_floats(&identity.clean, &mut bytes);
    bytes
}

/// Decodes the tag and the identity. Returns `None` if the bytes are something else.
pub(super) fn decode_beginning(bytes: &[u8]) -> Option<(String, Identity)> {
    let mut input = Input(bytes);
    let tag = input.text()?;
    let fingerprint = input.text()?;
    let randomised = input.take::<1>()?[0] != 0;
    let clean = input.floats()?;
    input.0.is_empty().then_some((tag, Identity { fingerprint, clean, randomised }))
}

pub(super) fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    let image = outcome.adversarial.as_deref().unwrap_or(&[]);
    let mut bytes = Vec::with_capacity(100 + 4 * image.len());
    bytes.extend((outcome.stage as u32).to_le_bytes());
    let Verification { claimed, outside_box, outside_ball, not_misclassified, forwards } =
        outcome.verification;
    let numbers = [outcome.sample as u64, outcome.forwards, outcome.backwards, claimed];
    for number in numbers.into_iter().chain([outside_box, outside_ball, not_misclassified, forwards]) {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(outcome.seconds.to_le_bytes());
    // There are four norms.
    bytes.extend((outcome.distances.len() as u16).to_le_bytes());
    let flags = u16::from(outcome.nearest) | u16::from(outcome.success) << 1;
    bytes.extend(flags.to_le_bytes());
    outcome.distances.iter().for_each(|distance| bytes.extend(distance.to_le_bytes()));
    encode_floats(image, &mut bytes);
    bytes
}

/// Decodes an outcome without its image, and the number of values of the image. Returns `None` if the bytes are
/// something else.
pub(super) fn decode_outcome(bytes: &[u8]) -> Option<(Outcome, usize)> {
    let mut input = Input(bytes);
    let stage = u32::from_le_bytes(input.take()?) as usize;
    let mut numbers = [0; 8];
    for number in &mut numbers {
        *number = u64::from_le_bytes(input.take()?);
    }
    let [sample, forwards, backwards, claimed, outside_box, outside_ball, not_misclassified, fresh] = numbers;
    let verification =
        Verification { claimed, outside_box, outside_ball, not_misclassified, forwards: fresh };
    let seconds = f64::from_le_bytes(input.take()?);
    let count = usize::from(u16::from_le_bytes(input.take()?));
    let flags = u16::from_le_bytes(input.take()?);
    let distances = decode_floats(input.slice(4 * count)?);
    let values = u32::from_le_bytes(input.take()?) as usize;
    let outcome = Outcome {
        stage,
        sample: sample as usize,
        success: flags & 2 != 0,
        distances,
        nearest: flags & 1 != 0,
        adversarial: None,
        forwards,
        backwards,
        verification,
        seconds,
    };
    (input.0.len() == 4 * values).then_some((outcome, values))
}

/// Decodes consecutive numbers.
pub(super) fn decode_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn encode_floats(values: &[f32], bytes: &mut Vec<u8>) {
    bytes.extend((values.len() as u32).to_le_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}

/// The bytes that have not been read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        String::from_utf8(self.slice(length)?.to_vec()).ok()
    }

    fn floats(&mut self) -> Option<Vec<f32>> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        Some(decode_floats(self.slice(length.checked_mul(4)?)?))
    }
}
