//! The effective configuration: a preset or the defaults, then a file, then `--set` and the command line's options.

use std::path::Path;

use burn_twins::data::{DataSource, Framing};
use burn_twins::train::{
    AdversaryConfig, AwpConfig, ConfigFile, FrozenFrom, MIN_IMAGES_PER_WING, Method, Schedule, TrainConfig,
    TrainError, Tuning, ValidationConfig,
};
use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::finetune::builtin;
use crate::finetune::cli::{AugmentationName, Cli};
use crate::finetune::set_options;

/// What is to be trained and how.
#[derive(Debug)]
pub struct Recipe {
    /// The settings, but for the method where there are several.
    pub config: TrainConfig,
    pub methods: Vec<Method>,
    pub framing: Framing,
    pub upsample: Option<usize>,
    /// Settings that were given, and by what.
    given: Vec<(String, String)>,
    /// What they were put over.
    base: String,
}

impl Recipe {
    /// Puts everything together.
    pub fn new(cli: &Cli, matches: &ArgMatches) -> Result<Self, Box<dyn std::error::Error>> {
        let file = cli.config.as_ref().map(ConfigFile::read).transpose()?;
        let set = set_options::read(&cli.settings)?;
        // Each over the one before.
        let files: Vec<&ConfigFile> = file.iter().chain(&set).collect();
        let base = cli.base();
        let mut config = files.iter().try_fold(base.clone(), |config, file| file.apply(config))?;
        let from_line = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut given = given(&files, set.as_ref(), from_line)?;
        cli.apply(&mut config);
        if from_line("seed") {
            config.seed = cli.common.seed;
        }
        for key in set_options::keys(&cli.settings) {
            if !given.iter().any(|(setting, _)| key.starts_with(setting.as_str())) {
                given.push((key.to_owned(), set_options::NAME.to_owned()));
            }
        }
        // A whole configuration, such as a run's config.json, has what its method does not use.
        given.retain(|(setting, source)| match setting.as_str() {
            "lambda" => config.lambda != base.lambda,
            "beta" => config.beta != base.beta,
            "validation.fraction" => {
                let fraction = config.validation.fraction;
                source.starts_with("--") || fraction.is_none() || fraction != base.validation.fraction
            }
            "validation.seed" => config.validation.seed != base.validation.seed,
            _ => true,
        });
        derive(&mut config, &base, &given, cli.data.has_validation());

        let several = cli.is_builtin() && !given.iter().any(|(setting, _)| setting == "method");
        let methods = if several { vec![Method::At, Method::TwinsAt] } else { vec![config.method] };
        let framing = match cli.preset {
            Some(preset) if !from_line("framing") => preset.framing(),
            _ => cli.images.framing,
        };
        let upsample = cli.input.upsample.or(cli.preset.and_then(|preset| preset.upsampling()));
        let base = match cli.preset {
            Some(preset) => format!("preset {preset}"),
            None if cli.is_builtin() => "the built-in job's settings".to_owned(),
            None => "the paper's settings".to_owned(),
        };
        let recipe = Self { config, methods, framing, upsample, given, base };
        recipe.contradiction(cli).map_or(Ok(()), Err)?;
        recipe.config.validate()?;
        for method in &recipe.methods {
            // Before a pre-training, whose method may have one wing, takes its time.
            TrainConfig { method: *method, ..recipe.config.clone() }.check_parts(cli.common.shares())?;
        }
        Ok(recipe)
    }

    /// One line: where the settings come from.
    pub fn sources(&self) -> String {
        let given: Vec<String> =
            self.given.iter().map(|(setting, source)| format!("{setting} ({source})")).collect();
        match given.is_empty() {
            true => self.base.clone(),
            false => format!("{}, over it {}", self.base, given.join(", ")),
        }
    }

    /// The settings with the schedule of the run in `out`, unless another one was given: with more epochs than before, the
    /// milestones that follow from the number of epochs would be others.
    pub fn resuming(&self, out: &Path) -> Result<TrainConfig, TrainError> {
        let mut config = self.config.clone();
        let recorded = self.methods.iter().map(|method| out.join(method.name()).join("config.json"));
        if let Some(path) = recorded.into_iter().find(|path| path.exists())
            && self.source("schedule").is_none()
        {
            config.schedule = TrainConfig::from_file(path)?.schedule;
        }
        Ok(config)
    }

    fn source(&self, setting: &str) -> Option<&str> {
        self.given.iter().find(|(name, _)| name == setting).map(|(_, source)| source.as_str())
    }

    /// Where a setting's value comes from, in words.
    fn named(&self, setting: &str) -> &str {
        self.source(setting).unwrap_or(&self.base)
    }

    /// Settings that were given and exclude each other: the first pair, with where both come from.
    fn contradiction(&self, cli: &Cli) -> Option<String> {
        let config = &self.config;
        let names = self.methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(" and ");
        let method = format!("the method is {names} ({})", self.named("method"));
        let two_wings = self.methods.iter().any(|method| method.is_two_wing());
        let divergence =
            |method: &Method| matches!(method, Method::Trades | Method::Mart | Method::TwinsTrades);
        if let Some(source) = self.source("lambda").filter(|_| !two_wings) {
            return Some(format!(
                "lambda is {} ({source}), but {method}, which has no frozen wing to weigh; leave lambda out, or choose \
                 twins-at or twins-trades",
                config.lambda
            ));
        }
        if let Some(source) = self.source("frozen_from").filter(|_| config.frozen_from == FrozenFrom::File)
            && cli.weights.is_none()
        {
            return Some(format!(
                "frozen_from is file ({source}), but there is no file of --weights that could hold a frozen wing; leave it out"
            ));
        }
        if let Some(source) = self.source("beta").filter(|_| !self.methods.iter().any(divergence)) {
            return Some(format!(
                "beta is {} ({source}), but {method}, which has no divergence to weigh; leave beta out, or choose \
                 trades, mart or twins-trades",
                config.beta
            ));
        }
        if two_wings && config.batch_size < 2 * MIN_IMAGES_PER_WING {
            return Some(format!(
                "the batch size is {} ({}), but {method}, which splits every batch between two wings of at least \
                 {MIN_IMAGES_PER_WING} images each; use at least {}, or a method with one wing",
                config.batch_size,
                self.named("batch_size"),
                2 * MIN_IMAGES_PER_WING
            ));
        }
        let epochs = format!("there are {} epochs ({})", config.epochs, self.named("epochs"));
        let late = |schedule: &Schedule, epochs: usize| match schedule {
            Schedule::MultiStep { milestones, .. } => {
                milestones.iter().find(|milestone| **milestone >= epochs).copied()
            }
            _ => None,
        };
        if let Tuning::ProbeThenFull(probe) = &config.tuning {
            let (probe_epochs, tuning) = (probe.epochs, self.named("tuning"));
            if probe_epochs >= config.epochs {
                return Some(format!(
                    "tuning.probe_epochs is {probe_epochs} ({tuning}), but {epochs}, so that only the head would be \
                     trained; probe for less, train longer, or choose the tuning linear-probe"
                ));
            }
            if let Some(late) = late(&probe.schedule, probe_epochs) {
                return Some(format!(
                    "tuning.probe_schedule.milestones has {late}, but tuning.probe_epochs is {probe_epochs} ({tuning}), \
                     so that it is never reached; lower the milestone, or probe for longer"
                ));
            }
        }
        let full_epochs = full_epochs(config);
        let epochs = if full_epochs == config.epochs {
            epochs
        } else {
            format!("{epochs}, {full_epochs} of them after the probe ({})", self.named("tuning"))
        };
        if let Some(late) = late(&config.schedule, full_epochs) {
            return Some(format!(
                "schedule.milestones has {late} ({}), but {epochs}, so that it is never reached; lower the milestone, \
                 or train longer",
                self.named("schedule")
            ));
        }
        if config.warmup_epochs > full_epochs as f64 {
            return Some(format!(
                "warmup_epochs is {} ({}), but {epochs}, so that the learning rate is never reached; warm up for less, \
                 or train longer",
                config.warmup_epochs,
                self.named("warmup_epochs")
            ));
        }
        if cli.data.has_validation() {
            let fraction =
                config.validation.fraction.map(|fraction| ("validation.fraction", fraction.to_string()));
            let seed = ("validation.seed", config.validation.seed.to_string());
            let split = [fraction, Some(seed)].into_iter().flatten();
            let mut split =
                split.filter_map(|(setting, value)| Some((setting, value, self.source(setting)?)));
            if let Some((setting, value, source)) = split.next() {
                return Some(format!(
                    "{setting} is {value} ({source}), but --data {} has a validation part of its own, so that no split of \
                     the training part is drawn; leave {setting} out, or give --validation none to validate on nothing",
                    cli.data
                ));
            }
        }
        let image_files = cli.data.has_image_files();
        if let Some(preset) = cli.preset.filter(|_| self.framing != cli.images.framing && !image_files) {
            return Some(format!(
                "--preset {preset} cuts images to one size ({}), which only image files can be (folder:DIR and so on), but --data is {}; give \
                 --framing as-stored beside it",
                self.framing, cli.data
            ));
        }
        None
    }
}

/// Options of the command line that set something of the training: clap's name, the option, the file's name.
const OPTIONS: [(&str, &str, &str); 19] = [
    ("method", "--method", "method"),
    ("frozen_from", "--frozen-from", "frozen_from"),
    ("epochs", "--epochs", "epochs"),
    ("batch_size", "--batch-size", "batch_size"),
    ("drop_last", "--drop-last", "drop_last"),
    ("accumulate", "--accumulate", "accumulate"),
    ("sync_statistics", "--sync-statistics", "sync_statistics"),
    ("lr", "--lr", "learning_rate"),
    ("weight_decay", "--weight-decay", "weight_decay"),
    ("lambda", "--lambda", "lambda"),
    ("beta", "--beta", "beta"),
    ("awp", "--awp", "awp.gamma"),
    ("epsilon", "--epsilon", "adversary.epsilon"),
    ("steps", "--steps", "adversary.steps"),
    ("step_size", "--step-size", "adversary.step_size"),
    ("attack_precision", "--attack-precision", "attack_precision"),
    ("augmentation", "--augmentation", "augmentation"),
    ("validation", "--validation", "validation.fraction"),
    ("seed", "--seed", "seed"),
];

/// Settings that have no option of their own and that others are compared with.
const COMPARED: [&str; 4] = ["schedule", "warmup_epochs", "tuning", "validation.seed"];

/// Which settings were given, and by what: an option, or the last of the files.
fn given(
    files: &[&ConfigFile],
    set: Option<&ConfigFile>,
    from_line: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, String> {
    let mut given = Vec::new();
    let options = OPTIONS.into_iter().chain(COMPARED.map(|setting| ("", "", setting)));
    for (id, option, setting) in options {
        let by_option = !id.is_empty() && from_line(id);
        if by_option && set.is_some_and(|set| set.gives(setting)) {
            return Err(format!(
                "{setting} is given by {option} and by {}; leave one of them out",
                set_options::NAME
            ));
        }
        let file = files.iter().rev().find(|file| file.gives(setting));
        match (by_option, file) {
            (true, _) => given.push((setting.to_owned(), option.to_owned())),
            (false, Some(file)) => given.push((setting.to_owned(), file.path().display().to_string())),
            (false, None) => {}
        }
    }
    Ok(given)
}

/// The epochs that the schedule and the warm-up are of: those after a probe.
fn full_epochs(config: &TrainConfig) -> usize {
    let probe = if let Tuning::ProbeThenFull(probe) = &config.tuning { probe.epochs } else { 0 };
    config.epochs.saturating_sub(probe)
}

/// Fills in what follows from other settings where it was not given itself.
fn derive(
    config: &mut TrainConfig,
    base: &TrainConfig,
    given: &[(String, String)],
    own_validation_part: bool,
) {
    let is_given = |setting: &str| given.iter().any(|(name, _)| name == setting);
    // A preset holds nothing out because its data has no validation part.
    if own_validation_part && !is_given("validation.fraction") {
        config.validation.fraction = config.validation.fraction.or(ValidationConfig::default().fraction);
    }
    if !is_given("schedule") {
        config.schedule = match config.method {
            Method::AutoLora => Schedule::auto_lora(),
            _ => Schedule::paper(full_epochs(config)),
        };
    }
    if !is_given("adversary.step_size") && is_given("adversary.epsilon") {
        config.adversary.step_size =
            config.adversary.epsilon * (base.adversary.step_size / base.adversary.epsilon);
    }
}

impl Cli {
    /// What the file and the options are put over.
    fn base(&self) -> TrainConfig {
        if let Some(preset) = self.preset {
            return preset.config();
        }
        let augmentation = match self.data {
            // A mirrored letter or digit is another one.
            DataSource::Builtin(_) | DataSource::Mnist(_) => AugmentationName::Crop,
            _ if self.images.framing != Framing::AsStored => AugmentationName::Imagenet,
            _ => AugmentationName::Cifar,
        };
        let paper = TrainConfig::new(Method::TwinsAt).with_augmentation(augmentation.augmentation());
        if !self.is_builtin() {
            return paper;
        }
        let (epsilon, steps) = (builtin::EPSILON, builtin::STEPS);
        let adversary =
            AdversaryConfig { epsilon, steps, step_size: epsilon * builtin::STEP_SHARE, ..paper.adversary };
        TrainConfig {
            epochs: builtin::EPOCHS,
            batch_size: builtin::BATCH,
            learning_rate: builtin::LR,
            adversary,
            ..paper
        }
    }

    /// Puts the options over a configuration.
    fn apply(&self, config: &mut TrainConfig) {
        fn set<T: Copy>(setting: &mut T, given: Option<T>) {
            *setting = given.unwrap_or(*setting);
        }
        set(&mut config.method, self.method);
        set(&mut config.frozen_from, self.frozen_from);
        set(&mut config.epochs, self.epochs);
        set(&mut config.batch_size, self.batch_size);
        set(&mut config.accumulate, self.accumulate);
        config.drop_last |= self.drop_last;
        config.sync_statistics |= self.sync_statistics;
        set(&mut config.learning_rate, self.lr);
        set(&mut config.weight_decay, self.weight_decay);
        set(&mut config.lambda, self.lambda);
        set(&mut config.beta, self.beta);
        if let Some(gamma) = self.awp {
            config.awp = Some(AwpConfig { gamma, ..config.awp.unwrap_or_default() });
        }
        set(&mut config.adversary.epsilon, self.epsilon);
        set(&mut config.adversary.steps, self.steps);
        set(&mut config.adversary.step_size, self.step_size);
        set(&mut config.validation.fraction, self.validation.map(|share| share.0));
        set(&mut config.attack_precision, self.attack_precision);
        if let Some(name) = self.augmentation {
            config.augmentation = name.augmentation();
        }
    }
}
