use std::path::PathBuf;

use twins_files::one_line;

use super::{Candidate, StudyConfig};

/// Errors of studies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The shard does not exist.
    #[error("\"{text}\" is no shard; give I/N with 1 ≤ I ≤ N, such as 1/4 for the first of four")]
    Shard {
        /// What was given.
        text: String,
    },
    /// The study has no seeds.
    #[error("the study has no seeds; give at least one, as in seeds = [0, 1, 2]")]
    NoSeeds,
    /// A seed is given twice.
    #[error("seed {seed} is given twice, which would be the same run; give every seed once")]
    DuplicateSeed {
        /// The seed.
        seed: u64,
    },
    /// The study has no arms.
    #[error(
        "the study has no arms; give at least one, as in [[arms]] with name = \"at\" and method = \"at\""
    )]
    NoArms,
    /// The study has too many arms.
    #[error("the study has {count} arms, more than {most}; divide it into several studies")]
    TooManyArms {
        /// The number of arms.
        count: usize,
        /// The most that a study may have.
        most: usize,
    },
    /// An arm has no name.
    #[error("arm number {number} has no name; give it one, as in name = \"at\"")]
    NoArmName {
        /// Its place in the list, from 1.
        number: usize,
    },
    /// A name is not valid as the name of a directory.
    #[error(
        "\"{}\" cannot be the name of an arm, which is also that of a directory; use letters, digits, '-', '_' and '.', and begin with a \
         letter or digit",
        one_line(name)
    )]
    ArmName {
        /// The name.
        name: String,
    },
    /// Two arms have the same name.
    #[error("there are two arms called \"{name}\"; give every arm a name of its own")]
    DuplicateArm {
        /// The name.
        name: String,
    },
    /// An arm does not exist.
    #[error(
        "{setting} names the arm \"{}\", which the study does not have; its arms are {}",
        one_line(name), .arms.join(", ")
    )]
    UnknownArm {
        /// The setting.
        setting: String,
        /// The name.
        name: String,
        /// The names of the arms.
        arms: Vec<String>,
    },
    /// Arms take their settings from each other in a circle.
    #[error(
        "settings_of leads in a circle: {}; give one of these arms settings of its own instead",
        .arms.join(" takes those of ")
    )]
    CyclicSettings {
        /// The arms in a circle.
        arms: Vec<String>,
    },
    /// The factor of a learning rate is invalid.
    #[error("arm \"{arm}\": settings_of.learning_rate_factor is {factor}; give a positive number")]
    Factor {
        /// The arm.
        arm: String,
        /// The factor.
        factor: f64,
    },
    /// An arm has more than one source of its learning rate.
    #[error("arm \"{arm}\" gives both {settings}; leave one of them out")]
    SeveralLearningRates {
        /// The arm.
        arm: String,
        /// The settings.
        settings: &'static str,
    },
    /// A seed is given among the settings of experiments.
    #[error(
        "{place} gives seed, but a study runs every arm with each of its seeds; give seeds = [...] at the top instead"
    )]
    SeedSetting {
        /// `[experiment]`, an option or an arm.
        place: String,
    },
    /// Candidates are given in both forms.
    #[error(
        "{place} gives both learning_rates and candidates; write every learning rate as a candidate, such as {{ learning_rate = 0.01 }}, and \
         leave learning_rates out"
    )]
    TwoFormsOfCandidates {
        /// The file, and `[trials]` or an arm.
        place: String,
    },
    /// An arm gives a setting that the trials choose.
    #[error(
        "arm \"{arm}\" gives {setting}, but [trials] chooses it, with the same number of trials for all arms; give the arm learning_rates or \
         candidates of its own, or settings_of = {{ arm = ... }}"
    )]
    ChosenByTrials {
        /// The arm.
        arm: String,
        /// The setting.
        setting: String,
    },
    /// An arm has candidates, but the study has no trials.
    #[error("arm \"{arm}\" gives {key}, but there are no trials; add [trials], or give the arm its settings")]
    NoTrials {
        /// The arm.
        arm: String,
        /// The key under which it gives them: `learning_rates` or `candidates`.
        key: &'static str,
    },
    /// An arm has no candidates.
    #[error(
        "arm \"{arm}\" has no learning rate to try; give learning_rates or candidates in [trials], or in the arm"
    )]
    NoCandidates {
        /// The arm.
        arm: String,
    },
    /// A candidate gives no settings.
    #[error(
        "arm \"{arm}\": candidate number {number} gives no settings; give those that the trial is to try, even where they are the usual ones, such \
         as {{ lambda = 1.0 }}"
    )]
    EmptyCandidate {
        /// The arm.
        arm: String,
        /// Its place in the list, from 1.
        number: usize,
    },
    /// A candidate is given twice.
    #[error(
        "arm \"{arm}\": {candidate} is given twice, which would be the same trial; give every candidate once"
    )]
    DuplicateCandidate {
        /// The arm.
        arm: String,
        /// The candidate.
        candidate: Candidate,
    },
    /// Two candidates resolve to the same training.
    #[error(
        "arm \"{arm}\": the candidates {other} and {candidate} are the same trial; give settings that differ from each other, and from those of \
         the arm and of [trials], which gives the epochs of all trials"
    )]
    SameTrial {
        /// The arm.
        arm: String,
        /// A candidate.
        candidate: Candidate,
        /// A candidate before it.
        other: Candidate,
    },
    /// Candidates are validated in different ways.
    #[error(
        "arm \"{arm}\": the candidate {} is validated in another way than {}: {setting} is {} and {}, so that \
         their accuracies cannot be compared; set it for all of them (the threat model is validation.protocol.threat)",
        .candidates[0], .candidates[1], one_line(value), one_line(other_value)
    )]
    OtherValidation {
        /// The arm.
        arm: String,
        /// A candidate, and the first one.
        candidates: Box<[Candidate; 2]>,
        /// The setting that differs.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Its value for the first candidate.
        other_value: String,
    },
    /// Arms have different numbers of trials.
    #[error(
        "arm \"{arm}\" has {count} trials and arm \"{other}\" has {other_count}; an arm with more trials has a better chance of good \
         settings, so give both the same number"
    )]
    OtherNumberOfTrials {
        /// The arm.
        arm: String,
        /// Its number of trials.
        count: usize,
        /// An arm before it.
        other: String,
        /// Its number of trials.
        other_count: usize,
    },
    /// The study has too many trials and runs.
    #[error("the study has {jobs} trials and runs, more than {most}; divide it into several studies")]
    TooManyJobs {
        /// The number of trials and runs.
        jobs: usize,
        /// The most that a study may have.
        most: usize,
    },
    /// The seed of the trials is also a seed of runs.
    #[error(
        "the seed {seed} of the trials is one of the study's seeds, so that a trial would be a run too; give another one, such as 100"
    )]
    TrialsSeed {
        /// The seed.
        seed: u64,
    },
    /// An arm has trials but no validation images.
    #[error(
        "arm \"{arm}\" has trials, but validation is \"none\": there are no images to choose the learning rate on; set \
         validation.fraction, such as 0.1, or leave [trials] out"
    )]
    NoValidation {
        /// The arm.
        arm: String,
    },
    /// The arm is not evaluated on the test images.
    #[error(
        "arm \"{arm}\": evaluation.test is \"skipped\", but a study compares what is measured on the test images; leave it out"
    )]
    NoTest {
        /// The arm.
        arm: String,
    },
    /// Arms are evaluated in different ways.
    #[error(
        "arm \"{arm}\" is measured in another way than arm \"{other}\": {setting} is {} and {}; set it in [experiment] for all \
         arms (the threat model of the test is validation.protocol.threat)",
        one_line(value),
        one_line(other_value)
    )]
    OtherMeasurement {
        /// The arm.
        arm: String,
        /// An arm before it.
        other: String,
        /// The setting that differs.
        setting: &'static str,
        /// Its value in the arm.
        value: String,
        /// Its value in the other.
        other_value: String,
    },
    /// The directory belongs to another study.
    #[error(
        "{} holds another study: {}; give another --out, or the study file as it was (seeds and arms may be added)",
        .directory.display(), .differences.join("; ")
    )]
    OtherStudy {
        /// The directory.
        directory: PathBuf,
        /// Every difference.
        differences: Vec<String>,
    },
    /// The studies cannot be merged.
    #[error(
        "{} and {} hold different studies, which cannot be merged: {}; give the directories of the shards of one study",
        .first.display(), .second.display(), .differences.join("; ")
    )]
    DifferentStudies {
        /// A directory.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Every difference.
        differences: Vec<String>,
    },
    /// The same run has two different results.
    #[error(
        "{} and {} are the same run with different results: {}; one of them was made by another version or on other data, so leave it out",
        .first.display(), .second.display(), .differences.join("; ")
    )]
    DifferentResults {
        /// A directory.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Every difference.
        differences: Vec<String>,
    },
    /// Runs were evaluated on different test images, or trainings of an arm were trained or validated on different images.
    #[error(
        "{} and {} were not trained or measured on the same images: {}; delete the one whose data is wrong, and run the study again",
        .first.display(), .second.display(), .differences.join("; ")
    )]
    DifferentImages {
        /// A directory.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// Every difference.
        differences: Vec<String>,
    },
    /// A file has invalid content.
    #[error(
        "{} is damaged, or of another version of this library: {}; give another --out, or delete this file: what has been trained is \
         kept as far as its settings are the study's",
        .path.display(), one_line(problem)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The study file is not a TOML file.
    #[error("{}: a study is a .toml file", .path.display())]
    NoTomlFile {
        /// The file.
        path: PathBuf,
    },
}

impl StudyConfig {
    /// The names of the arms.
    pub(super) fn arm_names(&self) -> Vec<String> {
        self.arms.iter().map(|arm| arm.name.clone()).collect()
    }
}
