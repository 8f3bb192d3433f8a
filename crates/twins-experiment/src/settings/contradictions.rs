use std::fmt;

use twins_data::{DataSource, Grouping, Preprocessing};
use twins_files::one_line;
use twins_train::{FrozenFrom, MIN_IMAGES_PER_WING, Method, Schedule, Tuning, ValidationConfig};

use super::layer::short;
use super::{DataConfig, ExperimentConfig, Sources, plain};

/// A setting with its value and its source.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenSetting {
    setting: String,
    value: String,
    source: String,
}

impl GivenSetting {
    fn new(key: &str, value: impl fmt::Display, sources: &Sources) -> Self {
        let source = sources.describe(key).to_owned();
        // Such as a text in a file.
        let value = one_line(&value.to_string()).into_owned();
        Self { setting: short(key).to_owned(), value, source }
    }
}

/// For instance `lambda is 0.5 (--lambda)`.
impl fmt::Display for GivenSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, value, source } = self;
        write!(f, "{setting} is {value} ({source})")
    }
}

/// Settings that exclude each other.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// `lambda` weighs the loss of the frozen wing, but the method has no frozen wing.
    #[error(
        "{lambda}, but the {method}, which has no frozen wing to weigh; leave lambda out, or choose twins-at or twins-trades"
    )]
    NoFrozenWing {
        /// The weight.
        lambda: GivenSetting,
        /// The method.
        method: GivenSetting,
    },
    /// `beta` weighs the divergence, but the method has no divergence.
    #[error(
        "{beta}, but the {method}, which has no divergence to weigh; leave beta out, or choose trades, mart or twins-trades"
    )]
    NoDivergence {
        /// The weight.
        beta: GivenSetting,
        /// The method.
        method: GivenSetting,
    },
    /// The frozen wing is to be read from a file, but there are no weights.
    #[error(
        "{frozen_from}, but there are no weights (model.weights, --weights) whose file could hold a frozen wing; leave \
         frozen_from out"
    )]
    NoFileOfFrozenWing {
        /// The source of the frozen wing.
        frozen_from: GivenSetting,
    },
    /// The batch is too small for two wings.
    #[error(
        "{batch_size}, but the {method}, which splits every batch between two wings of at least {MIN_IMAGES_PER_WING} images \
         each; use at least {}, or a method with one wing",
        2 * MIN_IMAGES_PER_WING
    )]
    BatchOfTwoWings {
        /// The batch size.
        batch_size: GivenSetting,
        /// The method.
        method: GivenSetting,
    },
    /// The linear probe leaves no epochs for the other layers.
    #[error(
        "{probe_epochs}, but there are {} epochs ({}), so that only the head would be trained; probe for less, train longer, or \
         choose the tuning linear-probe",
        epochs.value, epochs.source
    )]
    NothingAfterProbe {
        /// The epochs of the probe.
        probe_epochs: GivenSetting,
        /// All epochs.
        epochs: GivenSetting,
    },
    /// A milestone of the learning rate is never reached.
    #[error(
        "{} has {} ({}), but there are {} epochs ({}){full}, so that it is never reached; lower the milestone, or train longer",
        milestone.setting, milestone.value, milestone.source, epochs.value, epochs.source
    )]
    LateMilestone {
        /// The milestone.
        milestone: GivenSetting,
        /// All epochs of the phase.
        epochs: GivenSetting,
        /// The number of remaining epochs, in words, if a probe uses some.
        full: String,
    },
    /// The warm-up never ends.
    #[error(
        "{warmup_epochs}, but there are {} epochs ({}){full}, so that the learning rate is never reached; warm up for less, or \
         train longer",
        epochs.value, epochs.source
    )]
    LongWarmup {
        /// The epochs of the warm-up.
        warmup_epochs: GivenSetting,
        /// All epochs.
        epochs: GivenSetting,
        /// The number of remaining epochs, in words, if a probe uses some.
        full: String,
    },
    /// The weight perturbation never begins.
    #[error(
        "{warmup_epochs}, but there are {} epochs ({}){full}, so that the weights are never perturbed; warm up for less, or train \
         longer",
        epochs.value, epochs.source
    )]
    NoPerturbation {
        /// The epochs of the perturbation's warm-up.
        warmup_epochs: GivenSetting,
        /// All epochs.
        epochs: GivenSetting,
        /// The number of remaining epochs, in words, if a probe uses some.
        full: String,
    },
    /// The epsilon of the training adversary never finishes rising.
    #[error(
        "{schedule}, but there are {} epochs ({}), so that the epsilon of the adversary is never reached; raise it in fewer \
         epochs, or train longer",
        epochs.value, epochs.source
    )]
    LongEpsilonSchedule {
        /// The epochs until the full epsilon.
        schedule: GivenSetting,
        /// All epochs.
        epochs: GivenSetting,
    },
    /// A validation split was set for data that has a validation part.
    #[error(
        "{split}, but the data {data} has a validation part of its own, so that no split of the training part is drawn; leave \
         {} out, or set validation to \"none\" (--validation none) to validate on nothing",
        split.setting
    )]
    OwnValidationPart {
        /// The setting of the split.
        split: GivenSetting,
        /// The data.
        data: String,
    },
    /// A setting of the validation that the test does not use was given, but there is no validation.
    #[error(
        "{setting}, but validation is \"none\", so that it is never used; leave it out, or validate on a fraction"
    )]
    NoValidation {
        /// A setting of the protocol, or the groups.
        setting: GivenSetting,
    },
    /// Groups were set for images that are not files.
    #[error(
        "{groups}, which forms groups from the names of image files (folder:DIR, gtsrb:DIR, list:FILE and so on), but the data \
         is {data}; leave validation.groups out"
    )]
    NoFileNames {
        /// The groups.
        groups: GivenSetting,
        /// The data.
        data: String,
    },
    /// Preprocessing was set for images that are not files.
    #[error(
        "{preprocessing}, which only image files can be resized and cropped to (folder:DIR, cub200:DIR, list:FILE and so on), \
         but the data is {data}; set data.preprocessing (--preprocessing) to as-stored"
    )]
    NoImageFiles {
        /// The preprocessing.
        preprocessing: GivenSetting,
        /// The data.
        data: String,
    },
    /// Skipping the non-image files of a folder was requested, but the data is not a folder.
    #[error(
        "data.skip_non_images (--skip-non-images) is for folder:DIR, but the data is {data}; leave it out"
    )]
    NoFolder {
        /// The data.
        data: String,
    },
}

/// Finds the first settings that exclude each other, at least one of which was chosen explicitly.
pub(crate) fn contradiction(config: &ExperimentConfig, sources: &Sources) -> Option<Contradiction> {
    let training = &config.training;
    let chosen = |key: &str| sources.of_choice(key).is_some();
    let changed = |key: &str| sources.of_change(key).is_some();
    let given = |key: &str, value: &dyn fmt::Display| GivenSetting::new(key, value, sources);
    let method = || given("training.method", &training.method);
    let two_wings = training.method.is_two_wing();
    let divergence = matches!(training.method, Method::Trades | Method::Mart | Method::TwinsTrades);
    if chosen("training.lambda") && !two_wings {
        let lambda = given("training.lambda", &training.lambda);
        return Some(Contradiction::NoFrozenWing { lambda, method: method() });
    }
    if training.frozen_from == FrozenFrom::File && config.model.weights.is_none() {
        let frozen_from = given("training.frozen_from", &"file");
        return Some(Contradiction::NoFileOfFrozenWing { frozen_from });
    }
    if chosen("training.beta") && !divergence {
        let beta = given("training.beta", &training.beta);
        return Some(Contradiction::NoDivergence { beta, method: method() });
    }
    if two_wings && training.batch_size < 2 * MIN_IMAGES_PER_WING {
        let batch_size = given("training.batch_size", &training.batch_size);
        return Some(Contradiction::BatchOfTwoWings { batch_size, method: method() });
    }
    let epochs = || given("training.epochs", &training.epochs);
    if let Tuning::ProbeThenFull(probe) = &training.tuning {
        let probe_epochs = || GivenSetting {
            setting: "tuning.probe_epochs".to_owned(),
            ..given("training.tuning", &probe.epochs)
        };
        if probe.epochs >= training.epochs {
            return Some(Contradiction::NothingAfterProbe { probe_epochs: probe_epochs(), epochs: epochs() });
        }
        if let Some(late) = late_milestone(&probe.schedule, probe.epochs) {
            let milestone = GivenSetting {
                setting: "tuning.probe_schedule.milestones".to_owned(),
                ..given("training.tuning", &late)
            };
            return Some(Contradiction::LateMilestone {
                milestone,
                epochs: probe_epochs(),
                full: String::new(),
            });
        }
    }
    let left = training.full_epochs();
    let full = match left == training.epochs {
        true => String::new(),
        false => format!(", {left} of them after the probe ({})", sources.describe("training.tuning")),
    };
    if let Some(late) = late_milestone(&training.schedule, left) {
        let milestone =
            GivenSetting { setting: "schedule.milestones".to_owned(), ..given("training.schedule", &late) };
        return Some(Contradiction::LateMilestone { milestone, epochs: epochs(), full });
    }
    if training.warmup_epochs > left as f64 {
        let warmup_epochs = given("training.warmup_epochs", &training.warmup_epochs);
        return Some(Contradiction::LongWarmup { warmup_epochs, epochs: epochs(), full });
    }
    if let Some(awp) = training.awp
        && awp.warmup_epochs >= left.max(1)
    {
        let warmup_epochs = given("training.awp.warmup_epochs", &awp.warmup_epochs);
        return Some(Contradiction::NoPerturbation { warmup_epochs, epochs: epochs(), full });
    }
    if let Some(schedule) = training.epsilon_schedule {
        let length = schedule.clean_epochs + schedule.rise_epochs;
        if length > training.epochs as f64 {
            let schedule = GivenSetting {
                setting: "epsilon_schedule.clean_epochs + rise_epochs".to_owned(),
                ..given("training.epsilon_schedule", &length)
            };
            return Some(Contradiction::LongEpsilonSchedule { schedule, epochs: epochs() });
        }
    }
    let data = shown(&config.data.source);
    if config.data.source.has_validation() {
        const FRACTION: &str = "training.validation.fraction";
        let fraction = training.validation.fraction.map(|fraction| (FRACTION, fraction.to_string()));
        let groups = ("training.validation.groups", training.validation.groups.to_string());
        let seed = ("training.validation.seed", training.validation.seed.to_string());
        // With a preset, which has no fraction, a run with such data has the default one, and its configuration can be read back.
        let derived = training.validation.fraction == ValidationConfig::default().fraction;
        let mut split = fraction.into_iter().chain([groups, seed]).filter(|(key, _)| {
            let explicit = sources.of(key).is_some_and(|source| source.starts_with("--"));
            explicit || (changed(key) && !(derived && *key == FRACTION))
        });
        if let Some((key, value)) = split.next() {
            return Some(Contradiction::OwnValidationPart { split: given(key, &value), data });
        }
    }
    let groups = given("training.validation.groups", &training.validation.groups);
    if training.validation.fraction.is_none() {
        let protocol = plain(&training.validation.protocol);
        let of_protocol = |name: &str| {
            let key = format!("training.validation.protocol.{name}");
            changed(&key).then(|| given(&key, &protocol[name]))
        };
        // The threat model is also that of the test.
        let unused = ["steps", "step_size", "loss", "start", "seed"].into_iter().find_map(of_protocol);
        let unused = unused.or_else(|| changed("training.validation.groups").then_some(groups));
        if let Some(setting) = unused {
            return Some(Contradiction::NoValidation { setting });
        }
    } else if training.validation.groups != Grouping::None && !config.data.source.has_image_files() {
        return Some(Contradiction::NoFileNames { groups, data });
    }
    config.data.contradiction(sources.describe("data.preprocessing"))
}

impl DataConfig {
    /// Finds a setting that does not apply to this kind of data: [`Contradiction::NoImageFiles`] or [`Contradiction::NoFolder`]. `source`
    /// is the source of the preprocessing.
    pub fn contradiction(&self, source: &str) -> Option<Contradiction> {
        let data = || shown(&self.source);
        if self.preprocessing != Preprocessing::AsStored && !self.source.has_image_files() {
            let preprocessing = GivenSetting {
                setting: "data.preprocessing".to_owned(),
                value: self.preprocessing.to_string(),
                source: source.to_owned(),
            };
            return Some(Contradiction::NoImageFiles { preprocessing, data: data() });
        }
        if self.skip_non_images && !matches!(self.source, DataSource::Folder(_)) {
            return Some(Contradiction::NoFolder { data: data() });
        }
        None
    }
}

/// A data source in a message: its path may have any characters.
fn shown(source: &DataSource) -> String {
    one_line(&source.to_string()).into_owned()
}

/// The first milestone that is not reached within the given number of epochs.
fn late_milestone(schedule: &Schedule, epochs: usize) -> Option<usize> {
    match schedule {
        Schedule::MultiStep { milestones, .. } => {
            milestones.iter().find(|milestone| **milestone >= epochs).copied()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Draft, Layer};

    /// What resolving the settings reports.
    fn message(text: &str) -> Result<(), String> {
        let draft = Draft::new().with_layer(Layer::from_toml("run.toml", text).unwrap());
        draft.resolve().map(|_| ()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_do_not_reach_a_terminal_as_they_are() {
        for (text, part) in [
            (
                "data.source = \"mnist:\\u001b[2J\"\ndata.skip_non_images = true",
                "the data is mnist:\\u{1b}[2J;",
            ),
            (
                "data.source = \"cifar10:x\"\nvalidation.groups = \"prefix:\\n\"",
                "validation.groups is prefix:\\n (run.toml)",
            ),
            (
                "compute.devices = [\"remote:ws://a\\u202eb:1\"]\ncompute.cpu_shards = 2",
                "the devices are remote:ws://a\\u{202e}b:1;",
            ),
        ] {
            let message = message(&format!("model.arch = \"tiny-resnet\"\n{text}\n")).unwrap_err();
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    #[test]
    fn autoattack_needs_a_radius() {
        let without = "model.arch = \"tiny-resnet\"\nmethod = \"standard\"\nadversary.epsilon = 0.0\n";
        assert_eq!(message(without), Ok(()));
        let problem = message(&format!("{without}evaluation.autoattack = 5\n")).unwrap_err();
        assert!(problem.contains("epsilon is 0"), "{problem}");
    }

    #[test]
    fn groups_need_file_names_and_a_validation() {
        let groups = "model.arch = \"tiny-resnet\"\nvalidation.groups = \"prefix:_\"\n";
        assert_eq!(message(&format!("{groups}data.source = \"folder:x\"")), Ok(()));
        let nameless = message(&format!("{groups}data.source = \"cifar10:x\"")).unwrap_err();
        assert!(
            nameless.contains("validation.groups is prefix:_ (run.toml)") && nameless.contains("cifar10:x"),
            "{nameless}"
        );
        let none = format!("{groups}data.source = \"folder:x\"\nvalidation.fraction = \"none\"");
        let unused = message(&none).unwrap_err();
        assert!(
            unused.contains("validation.groups is prefix:_ (run.toml)") && unused.contains("never used"),
            "{unused}"
        );
    }

    #[test]
    fn the_test_uses_the_threat_model_of_the_validation_that_there_is_not() {
        let none = "model.arch = \"tiny-resnet\"\nvalidation.fraction = \"none\"\n";
        let threat = "validation.protocol.threat = { norm = \"linf\", epsilon = \"16/255\" }\n";
        assert_eq!(message(&format!("{none}{threat}")), Ok(()));
        for (setting, part) in
            [("steps = 3", "steps is 3 (run.toml)"), ("loss = \"margin\"", "loss is \"margin\" (run.toml)")]
        {
            let problem = message(&format!("{none}{threat}validation.protocol.{setting}\n")).unwrap_err();
            assert!(
                problem.contains(&format!("validation.protocol.{part}")) && problem.contains("never used"),
                "{problem}"
            );
        }
    }
}
