use std::collections::BTreeSet;

use twins_data::{Grouping, ImageDataset};
use twins_train::{TrainError, ValidationConfig};

/// Describes how many training images are held out for validation; `None` if there are none.
pub(super) fn describe_held_out(
    validation: &ValidationConfig,
    train: &dyn ImageDataset,
) -> Result<Option<String>, TrainError> {
    let labels = train.labels()?;
    let Some(split) = validation.split(train, &labels)? else { return Ok(None) };
    let (held_out, all) = (split.validation.len(), labels.len());
    let share = 100.0 * held_out as f64 / all as f64;
    let mut text = format!("{held_out} of {all} training images ({share:.1} %) are held out");
    if let Some(groups) = validation.groups.groups(train, &labels)? {
        let count = |ids: &[usize]| ids.iter().map(|&id| groups[id]).collect::<BTreeSet<_>>().len();
        let (groups_held_out, groups_left) = (count(&split.validation), count(&split.train));
        text += &format!(
            ", {groups_held_out} of {} whole groups (validation.groups is {}, validation.fraction {})",
            groups_held_out + groups_left,
            validation.groups,
            validation.fraction.unwrap_or_default(),
        );
    }
    Ok(Some(text))
}

/// Returns a warning if validation images are drawn in groups but test images were not.
pub(super) fn warn_of_ungrouped_test(
    validation: &ValidationConfig,
    data: &dyn std::fmt::Display,
) -> Option<String> {
    (validation.fraction.is_some() && validation.groups != Grouping::None).then(|| {
        format!(
            "validation.groups is {}, but {data} has no sub-folders train and test, and the test images are drawn from it without \
             groups: images related to them are trained on, and the accuracy on them overestimates that on new ones. Put whole groups \
             into sub-folders train and test",
            validation.groups
        )
    })
}

#[cfg(test)]
mod tests {
    use twins_data::{BuiltinDataset, FolderDataset, Part, Task};

    use super::*;

    #[test]
    fn the_share_that_is_really_held_out_is_given() {
        let folder = tempfile::tempdir().unwrap();
        // In each of two classes three recordings of four images: of a tenth, 1.2 images, a whole recording is held out.
        for class in ["a", "b"] {
            std::fs::create_dir(folder.path().join(class)).unwrap();
            for image in 0..12 {
                let name = format!("{class}/{}_{}.png", image / 4, image % 4);
                image::GrayImage::new(2, 2).save(folder.path().join(name)).unwrap();
            }
        }
        let data = FolderDataset::open(folder.path()).unwrap();
        let validation =
            ValidationConfig { groups: "prefix:_".parse().unwrap(), ..ValidationConfig::default() };
        assert_eq!(
            describe_held_out(&validation, &data).unwrap().unwrap(),
            "8 of 24 training images (33.3 %) are held out, 2 of 6 whole groups (validation.groups is prefix:_, \
             validation.fraction 0.1)"
        );
        let alone = describe_held_out(&ValidationConfig::default(), &data).unwrap().unwrap();
        assert_eq!(alone, "2 of 24 training images (8.3 %) are held out");
        assert_eq!(describe_held_out(&ValidationConfig::none(), &data).unwrap(), None);
        let digits = BuiltinDataset::new(Task::Target, Part::Train, 50, 0);
        let message = describe_held_out(&validation, &digits).unwrap_err().to_string();
        assert!(message.contains("validation.groups is prefix:_"), "{message}");
    }

    #[test]
    fn ungrouped_test_images_are_warned_of_where_there_are_groups() {
        let grouped = ValidationConfig { groups: "prefix:_".parse().unwrap(), ..ValidationConfig::default() };
        assert!(warn_of_ungrouped_test(&grouped, &"folder:x").unwrap().contains("folder:x"));
        assert_eq!(warn_of_ungrouped_test(&ValidationConfig::default(), &"folder:x"), None);
    }
}
