use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::datasets::image_dataset::ImageDataset;
use crate::error::DataError;
use crate::splits::group_split::draw_groups;
use crate::splits::split::{Split, split};

/// Defines groups of related samples, which stay on one side of a split.
///
/// Frames of one recording are more similar than frames of different recordings. A random split puts frames of one recording on both sides,
/// so that the validation accuracy overestimates the accuracy on new recordings.
///
/// | text | groups |
/// |---|---|
/// | `none` | none: every sample is drawn independently |
/// | `prefix:TEXT` | samples of one class whose file names are equal up to the first TEXT; the extension is ignored |
///
/// With `prefix:_`, `00006_00001.png` and `00006_00029.png` of a class are in group `00006`. If a name does not contain TEXT, the whole
/// name is the name of the group. Folders are ignored. Groups with the same name in two classes are two groups, so recordings that show
/// several classes are not kept together.
///
/// ```
/// use twins_data::Grouping;
///
/// # fn main() -> Result<(), twins_data::DataError> {
/// let tracks: Grouping = "prefix:_".parse()?;
/// assert_eq!(tracks, Grouping::Prefix("_".to_owned()));
/// assert_eq!(tracks.to_string(), "prefix:_");
/// assert!("prefix:".parse::<Grouping>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub enum Grouping {
    /// No groups.
    #[default]
    None,
    /// A group consists of the samples of a class whose file names are equal up to the first occurrence of this text.
    Prefix(String),
}

impl Grouping {
    const NONE: &str = "none";
    const PREFIX: &str = "prefix:";

    /// Splits the samples of a data set into a training and a validation set, with every group on one side.
    ///
    /// Without groups, this is [`split`](crate::split()). With groups, the groups of class c are ordered randomly with `seed`. If the class
    /// has n_c samples and k_c groups, the i-th of which has s_i samples, the validation set gets the first m_c groups of each class:
    ///
    /// ```text
    /// m_c = min{ m ≥ 1 : (s_1 + … + s_m) / n_c ≥ fraction  or  m = k_c − 1 }
    /// ```
    ///
    /// So the held-out share of a class is at least `fraction`, and exceeds it by less than one group, unless no group would remain for
    /// training: the last group always stays in training. The draw does not depend on the order of the samples.
    ///
    /// `labels` are the labels from [`ImageDataset::labels`].
    ///
    /// # Errors
    /// [`DataError::InvalidFraction`], [`DataError::TooFewToSplit`] if there are no samples, and the errors of [`groups`](Self::groups).
    ///
    /// # Panics
    /// If the number of labels differs from the number of samples.
    pub fn split(
        &self,
        dataset: &dyn ImageDataset,
        labels: &[usize],
        fraction: f64,
        seed: u64,
    ) -> Result<Split, DataError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(DataError::InvalidFraction { fraction });
        }
        match self.groups(dataset, labels)? {
            None => split(labels, fraction, seed),
            Some(_) if labels.is_empty() => Err(DataError::TooFewToSplit { samples: 0, classes: 0 }),
            Some(groups) => Ok(draw_groups(labels, &groups, fraction, seed)),
        }
    }

    /// The number of each sample's group, from 0 in the order of class and name; `None` without groups.
    ///
    /// # Errors
    /// [`DataError::NoSampleName`]; [`DataError::GroupsOfOne`] if every sample is the only one in its group; [`DataError::OneGroup`] if a
    /// class has only one group.
    ///
    /// # Panics
    /// If the number of labels differs from the number of samples.
    pub fn groups(
        &self,
        dataset: &dyn ImageDataset,
        labels: &[usize],
    ) -> Result<Option<Vec<usize>>, DataError> {
        let Self::Prefix(end) = self else { return Ok(None) };
        assert_eq!(labels.len(), dataset.len(), "one label for each sample");
        let mut members = BTreeMap::<(usize, String), Vec<usize>>::new();
        for (index, &label) in labels.iter().enumerate() {
            let Some(name) = dataset.name(index) else {
                return Err(DataError::NoSampleName { grouping: self.clone(), index });
            };
            members.entry((label, prefix(&name, end).to_owned())).or_default().push(index);
        }
        self.check(dataset, &members)?;
        let mut groups = vec![0; labels.len()];
        for (group, indices) in members.values().enumerate() {
            indices.iter().for_each(|&index| groups[index] = group);
        }
        Ok(Some(groups))
    }

    fn check(
        &self,
        dataset: &dyn ImageDataset,
        members: &BTreeMap<(usize, String), Vec<usize>>,
    ) -> Result<(), DataError> {
        let grouping = || self.clone();
        if let Some(first) = members.values().next()
            && members.values().all(|indices| indices.len() == 1)
        {
            let name = dataset.name(first[0]).unwrap_or_default();
            return Err(DataError::GroupsOfOne { grouping: grouping(), samples: members.len(), name });
        }
        let mut counts = BTreeMap::<usize, usize>::new();
        members.keys().for_each(|(label, _)| *counts.entry(*label).or_default() += 1);
        let single = |((label, _), _): &(&(usize, String), &Vec<usize>)| counts[label] == 1;
        match members.iter().find(single) {
            None => Ok(()),
            Some(((label, group), indices)) => Err(DataError::OneGroup {
                grouping: grouping(),
                class: dataset.classes().get(*label).cloned().unwrap_or_else(|| label.to_string()),
                group: group.clone(),
                samples: indices.len(),
                affected: counts.values().filter(|count| **count == 1).count(),
                classes: counts.len(),
            }),
        }
    }
}

/// A file name without its extension, up to the first occurrence of `end`.
fn prefix<'a>(name: &'a str, end: &str) -> &'a str {
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    stem.split_once(end).map_or(stem, |(prefix, _)| prefix)
}

impl FromStr for Grouping {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text.strip_prefix(Self::PREFIX) {
            Some(end) if !end.is_empty() => Ok(Self::Prefix(end.to_owned())),
            None if text == Self::NONE => Ok(Self::None),
            _ => Err(DataError::InvalidSetting {
                name: "the grouping (validation.groups)",
                value: format!("{text:?}"),
                range: "none, or prefix: and the text that the name of a group ends before, such as prefix:_",
            }),
        }
    }
}

impl TryFrom<String> for Grouping {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        text.parse()
    }
}

impl From<Grouping> for String {
    fn from(grouping: Grouping) -> Self {
        grouping.to_string()
    }
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str(Self::NONE),
            Self::Prefix(end) => write!(f, "{}{end}", Self::PREFIX),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::builtin::dataset::BuiltinDataset;
    use crate::builtin::task::Task;
    use crate::datasets::part::Part;
    use crate::formats::folder::config::FolderConfig;
    use crate::formats::folder::dataset::FolderDataset;
    use crate::formats::listed::dataset::ListedDataset;
    use crate::formats::listed::layout::ListLayout;
    use crate::splits::limit::Limit;
    use crate::splits::subset::Subset;

    fn tracks() -> Grouping {
        "prefix:_".parse().unwrap()
    }

    /// A folder with an image of each name, `class/name`.
    fn folder(names: &[&str]) -> (tempfile::TempDir, FolderDataset) {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            ::image::GrayImage::new(2, 2).save(path).unwrap();
        }
        let dataset = FolderDataset::open(folder.path()).unwrap();
        (folder, dataset)
    }

    fn fault(names: &[&str], grouping: &str) -> DataError {
        let (_folder, dataset) = folder(names);
        let labels = dataset.labels().unwrap();
        grouping.parse::<Grouping>().unwrap().split(&dataset, &labels, 0.5, 0).unwrap_err()
    }

    /// The class and the track that a path `…/class/track_frame.png` names, independently of the code under test.
    fn track(path: &Path) -> (PathBuf, String) {
        let name = path.file_name().unwrap().to_str().unwrap();
        (path.parent().unwrap().to_owned(), name[..name.find('_').unwrap()].to_owned())
    }

    #[test]
    fn a_group_ends_before_the_first_occurrence() {
        for (name, end, expected) in [
            ("00006_00001.png", "_", "00006"),
            ("a_b_c.png", "_", "a"),
            ("a.b_c.png", "_", "a.b"),
            ("a.b_c.png", ".", "a"),
            ("alone.png", "_", "alone"),
            ("a_b.png", "png", "a_b"),
            ("clip-3-frame-9", "-frame", "clip-3"),
            ("_1.png", "_", ""),
        ] {
            assert_eq!(prefix(name, end), expected, "{name} {end}");
        }
    }

    #[test]
    fn groups_are_of_a_class_and_a_name() {
        let names = ["a/1_0.png", "a/1_1.png", "a/2_0.png", "b/1_0.png", "b/3.png"];
        let (_folder, dataset) = folder(&names);
        let labels = dataset.labels().unwrap();
        assert_eq!(tracks().groups(&dataset, &labels).unwrap(), Some(vec![0, 0, 1, 2, 3]));
        assert_eq!(Grouping::None.groups(&dataset, &labels).unwrap(), None);
        // Without groups, it is the stratified split.
        let alone = Grouping::None.split(&dataset, &labels, 0.4, 7).unwrap();
        assert_eq!(alone, split(&labels, 0.4, 7).unwrap());
    }

    #[test]
    fn names_pass_through_subsets_limits_and_lists() {
        let (files, dataset) = folder(&["a/1_0.png", "a/1_1.png", "a/2_0.png", "b/1_0.png", "b/3.png"]);
        assert_eq!(dataset.name(2).as_deref(), Some("2_0.png"));
        let all: Arc<dyn ImageDataset> = Arc::new(dataset);
        let subset: Arc<dyn ImageDataset> = Arc::new(Subset::new(all.clone(), vec![4, 1, 0]).unwrap());
        assert_eq!(subset.name(0).as_deref(), Some("3.png"));
        let limited = Limit::First(2).apply(subset).unwrap();
        assert_eq!([0, 1].map(|index| limited.name(index).unwrap()), ["3.png", "1_1.png"]);

        let list = files.path().join("list.tsv");
        fs::write(&list, "b/3.png\tx\ttrain\na/1_1.png\ty\ttrain\n").unwrap();
        let listed = ListedDataset::open(ListLayout::List, Part::Train, &FolderConfig::new(list)).unwrap();
        assert_eq!([0, 1].map(|index| listed.name(index).unwrap()), ["3.png", "1_1.png"]);
    }

    #[test]
    fn what_cannot_be_grouped_is_named_with_a_remedy() {
        let digits = BuiltinDataset::new(Task::Target, Part::Train, 20, 0);
        let labels = digits.labels().unwrap();
        let error = tracks().split(&digits, &labels, 0.5, 0).unwrap_err();
        assert!(matches!(&error, DataError::NoSampleName { index: 0, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("prefix:_") && message.contains("folder:DIR"), "{message}");

        let alone = ["a/1-0.png", "a/1-1.png", "b/1-0.png", "b/2-0.png"];
        let error = fault(&alone, "prefix:_");
        assert!(
            matches!(&error, DataError::GroupsOfOne { samples: 4, name, .. } if name == "1-0.png"),
            "{error}"
        );
        assert!(error.to_string().contains("prefix:_"), "{error}");

        let error = fault(&["a/1_0.png", "a/2_1.png", "b/9_0.png", "b/9_2.png"], "prefix:_");
        let DataError::OneGroup { class, group, samples, affected, classes, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((class.as_str(), group.as_str(), samples, affected, classes), ("b", "9", &2, &1, &2));
        assert!(error.to_string().contains("prefix:_"), "{error}");
        let all = fault(&["a/x_0.png", "a/x_1.png", "b/x_0.png", "b/x_2.png"], "prefix:_");
        assert!(all.to_string().contains("2 of 2 classes"), "{all}");

        let (_folder, dataset) = folder(&["a/1_0.png", "a/1_1.png", "a/2_0.png"]);
        for fraction in [0.0, 1.0, f64::NAN] {
            let error = tracks().split(&dataset, &[0; 3], fraction, 0).unwrap_err();
            assert!(matches!(error, DataError::InvalidFraction { .. }), "{error}");
        }
    }

    #[test]
    fn text_is_read_and_written() {
        for text in ["none", "prefix:_", "prefix:-frame", "prefix: "] {
            assert_eq!(text.parse::<Grouping>().unwrap().to_string(), text);
            let json = serde_json::to_string(&text.parse::<Grouping>().unwrap()).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Grouping>(&json).unwrap().to_string(), text);
        }
        for text in ["", "prefix:", "prefix", "suffix:_", "None"] {
            let message = text.parse::<Grouping>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")) && message.contains("prefix:_"), "{message}");
        }
    }

    /// On the real recordings: in class 00, for instance, 90 images of 3 tracks of 30.
    #[test]
    fn no_track_of_gtsrb_is_on_both_sides() {
        let Some(archive) = twins_testing::shared("data/gtsrb32.tar.gz") else { return };
        let folder = tempfile::tempdir().unwrap();
        let archive = flate2::read::GzDecoder::new(fs::File::open(archive).unwrap());
        for entry in tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().starts_with("gtsrb32/train") {
                entry.unpack_in(folder.path()).unwrap();
            }
        }
        let dataset = FolderDataset::open(folder.path().join("gtsrb32/train")).unwrap();
        let labels = dataset.labels().unwrap();
        assert_eq!(dataset.classes().len(), 43);

        let tracks_of = |indices: &[usize]| -> BTreeSet<_> {
            indices.iter().map(|&index| track(&dataset.path(index))).collect()
        };
        let split = tracks().split(&dataset, &labels, 0.1, 0).unwrap();
        let (train, held_out) = (tracks_of(&split.train), tracks_of(&split.validation));
        assert!(train.is_disjoint(&held_out));
        let all: Vec<usize> = (0..labels.len()).collect();
        assert_eq!(train.len() + held_out.len(), tracks_of(&all).len());
        let mut both = [split.train.clone(), split.validation.clone()].concat();
        both.sort_unstable();
        assert_eq!(both, all);
        // Every class reaches its tenth, and a class of three tracks of 30 holds out one of them.
        for label in 0..43 {
            let of = |indices: &[usize]| indices.iter().filter(|&&index| labels[index] == label).count();
            let (train, held_out) = (of(&split.train), of(&split.validation));
            assert!(train > 0 && 10 * held_out >= train + held_out, "{label}: {train} {held_out}");
        }
        assert_eq!(split.validation.iter().filter(|&&index| labels[index] == 0).count(), 30);
        assert_eq!(split, tracks().split(&dataset, &labels, 0.1, 0).unwrap());
        assert_ne!(split, tracks().split(&dataset, &labels, 0.1, 1).unwrap());

        // What the setting is for: a random split has most validation tracks in training too.
        let random = Grouping::None.split(&dataset, &labels, 0.1, 0).unwrap();
        let (train, held_out) = (tracks_of(&random.train), tracks_of(&random.validation));
        let shared = held_out.intersection(&train).count();
        assert!(2 * shared > held_out.len(), "{shared} of {}", held_out.len());
    }
}
