use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::RngExt;
use rand::seq::SliceRandom;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::datasets::image_dataset::ImageDataset;
use crate::draws::{Purpose, draws};
use crate::error::DataError;
use crate::splits::subset::Subset;

/// A limit on the number of samples used from a data set.
///
/// | text | samples |
/// |---|---|
/// | `100` | 100 samples, each class in proportion, drawn with a fixed seed: the same samples in every run and on every device |
/// | `first:100` | the first 100 samples, for comparison with results on the beginning of a data set that is not sorted by class |
///
/// A folder is sorted by class, so its first samples are of one class.
///
/// ```
/// use twins_data::Limit;
///
/// # fn main() -> Result<(), twins_data::DataError> {
/// // Sorted by class: eight of class 0, four of class 1.
/// let labels = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1];
/// let classes = |limit: Limit| limit.indices(&labels).into_iter().map(|index| labels[index]).collect::<Vec<_>>();
/// assert_eq!(classes("6".parse()?), [0, 0, 0, 0, 1, 1]);
/// assert_eq!(classes("first:6".parse()?), [0; 6]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(untagged))]
pub enum Limit {
    /// This number of samples, each class in proportion.
    Stratified(usize),
    /// This number of samples from the beginning, such as `first:100`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    First(usize),
}

impl Limit {
    /// The seed of stratified limits.
    pub const SEED: u64 = 0;

    /// The largest number of samples that are used.
    pub fn count(self) -> usize {
        match self {
            Self::Stratified(count) | Self::First(count) => count,
        }
    }

    /// The indices of the samples used, in ascending order; all of them if there are no more than
    /// [`count`](Self::count).
    ///
    /// A stratified limit gives each class its share, rounded down. The classes with the largest remainders get one
    /// more sample; equal remainders are decided by a random draw.
    pub fn indices(self, labels: &[usize]) -> Vec<usize> {
        match self {
            Self::First(count) => (0..labels.len().min(count)).collect(),
            Self::Stratified(count) if count >= labels.len() => (0..labels.len()).collect(),
            Self::Stratified(count) => stratified(labels, count),
        }
    }

    /// The samples used, as a data set.
    ///
    /// # Errors
    /// [`DataError::NoSamples`] for a limit of 0, and the errors of reading the labels.
    pub fn apply(self, dataset: Arc<dyn ImageDataset>) -> Result<Arc<dyn ImageDataset>, DataError> {
        if self.count() == 0 {
            return Err(DataError::NoSamples { what: "a limit" });
        }
        if self.count() >= dataset.len() {
            return Ok(dataset);
        }
        let indices = match self {
            Self::First(count) => (0..count).collect(),
            Self::Stratified(_) => self.indices(&dataset.labels()?),
        };
        Ok(Arc::new(Subset::new(dataset, indices)?))
    }
}

fn stratified(labels: &[usize], count: usize) -> Vec<usize> {
    let mut classes = BTreeMap::<usize, Vec<usize>>::new();
    for (index, &label) in labels.iter().enumerate() {
        classes.entry(label).or_default().push(index);
    }
    // Per class: the samples in random order, the number of samples used, the remainder of the share, and a random
    // number that decides between equal remainders.
    let mut shares: Vec<(Vec<usize>, usize, usize, u64)> = classes
        .into_iter()
        .map(|(label, mut indices)| {
            let mut draws = draws(Limit::SEED, label as u64, Purpose::Limit);
            indices.shuffle(&mut draws);
            let share = indices.len() * count;
            (indices, share / labels.len(), share % labels.len(), draws.random())
        })
        .collect();
    let missing = count - shares.iter().map(|share| share.1).sum::<usize>();
    shares.sort_by(|a, b| b.2.cmp(&a.2).then(a.3.cmp(&b.3)));
    shares.iter_mut().take(missing).for_each(|share| share.1 += 1);
    let mut chosen: Vec<usize> = shares.iter().flat_map(|share| &share.0[..share.1]).copied().collect();
    chosen.sort_unstable();
    chosen
}

impl FromStr for Limit {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let (limit, number): (fn(usize) -> Self, &str) = match text.split_once(':') {
            Some(("first", number)) => (Self::First, number),
            _ => (Self::Stratified, text),
        };
        match number.parse() {
            Ok(count) if count > 0 => Ok(limit(count)),
            _ => Err(DataError::InvalidLimit { given: text.to_owned() }),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stratified(count) => write!(f, "{count}"),
            Self::First(count) => write!(f, "first:{count}"),
        }
    }
}

/// Written as a number, or as text for a limit that takes the first samples.
impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stratified(count) => count.serialize(serializer),
            Self::First(_) => serializer.collect_str(self),
        }
    }
}

/// Read from a number or text.
impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrText)
    }
}

struct NumberOrText;

impl Visitor<'_> for NumberOrText {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of images, at least 1, or a text such as \"first:1000\"")
    }

    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Limit, E> {
        match usize::try_from(count) {
            Ok(count) if count > 0 => Ok(Limit::Stratified(count)),
            _ => Err(E::invalid_value(Unexpected::Unsigned(count), &self)),
        }
    }

    // TOML has signed numbers only.
    fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<Limit, E> {
        let count = u64::try_from(count).map_err(|_| E::invalid_value(Unexpected::Signed(count), &self))?;
        self.visit_u64(count)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Limit, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use burn_dataset::Dataset;
    use proptest::prelude::*;

    use super::*;
    use crate::builtin::dataset::BuiltinDataset;
    use crate::builtin::task::Task;
    use crate::datasets::part::Part;

    fn counts(labels: &[usize], indices: &[usize], classes: usize) -> Vec<usize> {
        let of_class = |class| indices.iter().filter(|&&index| labels[index] == class).count();
        (0..classes).map(of_class).collect()
    }

    #[test]
    fn a_folder_sorted_by_class_gives_every_class_its_share() {
        // 10 classes of 1 000 images, one after the other, as in a folder.
        let labels: Vec<usize> = (0..10_000).map(|index| index / 1000).collect();
        let hundred = Limit::Stratified(100).indices(&labels);
        assert_eq!(counts(&labels, &hundred, 10), [10; 10]);
        assert_eq!(hundred, Limit::Stratified(100).indices(&labels), "the same in every run");
        assert_ne!(hundred[..10], (0..10).collect::<Vec<_>>()[..], "drawn, not the first of each class");
        // Fewer than classes: of different classes, and not always of the first ones.
        let three = Limit::Stratified(3).indices(&labels);
        let few = counts(&labels, &three, 10);
        assert_eq!((few.iter().sum::<usize>(), few.iter().max()), (3, Some(&1)));
        assert_ne!(few[..3], [1; 3]);
        assert_eq!(Limit::First(100).indices(&labels), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_samples_never_change() {
        // Results on a limited data set are compared across versions. The indices are those of a second implementation of ChaCha8 and of
        // the shuffle of rand 0.10, in Python.
        let labels: Vec<usize> = (0..60).map(|index| index / 20).collect();
        assert_eq!(Limit::Stratified(7).indices(&labels), [0, 13, 18, 22, 24, 46, 48]);
    }

    #[test]
    fn a_limited_data_set_knows_where_its_samples_come_from() {
        let all: Arc<dyn ImageDataset> = Arc::new(BuiltinDataset::new(Task::Target, Part::Train, 50, 0));
        let limited = Limit::Stratified(20).apply(Limit::First(40).apply(all.clone()).unwrap()).unwrap();
        assert_eq!(limited.len(), 20);
        for index in 0..20 {
            assert_eq!(limited.get(index).unwrap(), all.get(limited.source_index(index)).unwrap());
            assert!(limited.source_index(index) < 40);
        }
        assert_eq!(Limit::Stratified(90).apply(all.clone()).unwrap().len(), 50);
        assert!(matches!(Limit::First(0).apply(all), Err(DataError::NoSamples { .. })));
    }

    #[test]
    fn text_is_read_and_written() {
        for text in ["1", "100", "first:1000"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        assert_eq!(
            serde_json::to_string(&[Limit::Stratified(9), Limit::First(9)]).unwrap(),
            r#"[9,"first:9"]"#
        );
        let read: Vec<Limit> = serde_json::from_str(r#"[9, "first:9", "9"]"#).unwrap();
        assert_eq!(read, [Limit::Stratified(9), Limit::First(9), Limit::Stratified(9)]);
        for json in ["0", "-1", "1.5", "true", "\"first:0\""] {
            let message = serde_json::from_str::<Limit>(json).unwrap_err().to_string();
            assert!(message.contains("at least 1") && message.contains("first:1000"), "{message}");
        }
        for text in ["0", "first:0", "last:3", "-1", "1.5", "first:", ""] {
            let message = text.parse::<Limit>().unwrap_err().to_string();
            assert!(message.contains("first:1000"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn shares_are_rounded_to_a_neighbour(
            labels in proptest::collection::vec(0usize..7, 1..200),
            count in 1usize..250,
        ) {
            let chosen = Limit::Stratified(count).indices(&labels);
            prop_assert_eq!(chosen.len(), count.min(labels.len()));
            prop_assert!(chosen.is_sorted_by(|a, b| a < b));
            let all: Vec<usize> = (0..labels.len()).collect();
            for (used, of) in counts(&labels, &chosen, 7).into_iter().zip(counts(&labels, &all, 7)) {
                let share = of * count.min(labels.len());
                prop_assert!(used == share / labels.len() || used == share.div_ceil(labels.len()));
            }
        }
    }
}
