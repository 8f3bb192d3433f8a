//! Adversarial attacks on any Burn classifier.
//!
//! An attack needs three things: a victim, which is any function from images to logits ([`Classifier`]); samples with
//! their labels ([`Samples`], or a [`SampleStream`] for large data sets); and a threat model that defines which
//! perturbations are allowed ([`ThreatModel`]). Every attack implements the trait [`Attack`]:
//!
//! * [`Pgd`]: FGSM, MI-FGSM and projected gradient descent;
//! * [`Apgd`]: Auto-PGD, untargeted and targeted;
//! * [`Fab`]: searches for the nearest point beyond the decision boundary;
//! * [`Ddn`] in L2, [`Fmn`] in every norm and [`SigmaZero`] in L0: also search for the nearest adversarial example,
//!   with one gradient per step;
//! * [`Square`]: random search that uses only the logits.
//!
//! An attack is asynchronous code for one [`Sample`], which queries the [`Model`] and awaits its responses. The engine
//! packs the queries of many samples into full batches, and a sample that is fooled leaves its batch at once. Random
//! draws belong to the sample ([`Draws`]), so results depend neither on the batch size nor on the order of the samples.
//!
//! [`RobustnessEvaluation`] measures robust accuracy with any list of attacks. It verifies adversarial examples, writes
//! a report, reports progress, and keeps a journal from which an interrupted evaluation is resumed. AutoAttack
//! ([`AutoAttackConfig`]) is a preset list of attacks.
//!
//! [`SurrogateGradients`] computes gradients with another victim, for example one in half precision ([`AtPrecision`]),
//! while the verdicts remain those of the model itself.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use twins_attack::{Attack, Norm, PgdConfig, Samples, ThreatModel};
//!
//! let victim = |images: Tensor<4>| images.flatten::<2>(1, 3);
//! let images = Tensor::from_floats([[[[0.6, 0.5]]], [[[0.9, 0.1]]]], &Device::flex());
//! let samples = Samples::new(images, vec![0, 0])?;
//! let threat = ThreatModel::new(Norm::L2, 0.2)?;
//! let output = PgdConfig::new(threat, 20, 0.05).build()?.run(&victim, &samples)?;
//! assert_eq!(output.robust_accuracy(), 0.5);
//! # Ok::<(), twins_attack::AttackError>(())
//! ```

mod attacks;
mod draws;
mod engine;
mod error;
mod evaluation;
mod hash;
mod losses;
mod model;
mod norms;
mod samples;

pub use attacks::apgd::{Apgd, ApgdConfig, L1Phases};
pub use attacks::ddn::{Ddn, DdnConfig};
pub use attacks::fab::{Fab, FabCandidates, FabConfig};
pub use attacks::fmn::{Fmn, FmnConfig, L2Projection};
pub use attacks::nearest::Depth;
pub use attacks::pgd::{Pgd, PgdConfig, Start};
pub use attacks::registry::{AttackSettings, RegisteredAttack, Setting, UnknownAttack};
pub use attacks::sigma_zero::{SigmaZero, SigmaZeroConfig};
pub use attacks::square::{Square, SquareConfig, SquareSchedule};
pub use draws::Draws;
pub use engine::attack::{AsAttack, Attack, Attempt};
pub use engine::criterion::Criterion;
pub use engine::finding::{Finding, Returned, RunSelection};
pub use engine::query::{Model, Response};
pub use engine::run::AttackOutput;
pub use engine::sample::Sample;
pub use engine::targets::Targets;
pub use engine::verification::{Quorum, Verification, VerificationRule};
pub use error::AttackError;
pub use error::setting::SettingError;
pub use evaluation::autoattack::config::AutoAttackConfig;
pub use evaluation::autoattack::version::{UnknownVersion, Version};
pub use evaluation::classes::ClassReport;
pub use evaluation::coverage::{Coverage, UnknownCoverage};
pub use evaluation::images::Evaluation;
pub use evaluation::interval::wilson_interval;
pub use evaluation::journal::error::JournalError;
pub use evaluation::journal::place::ExistingJournal;
pub use evaluation::journal::read::Journal;
pub use evaluation::outcome::Outcome;
pub use evaluation::progress::{Observer, Progress, Silent};
pub use evaluation::replica::Replica;
pub use evaluation::report::{Count, Report, StageReport, ThreatReport};
pub use evaluation::robustness::RobustnessEvaluation;
pub use evaluation::sample_record::{Distance, SampleRecord};
pub use evaluation::warning::Warning;
pub use losses::loss::Loss;
pub use losses::objective::Objective;
pub use model::at_precision::AtPrecision;
pub use model::classifier::{Classifier, accuracy, predictions};
pub use model::inference_form::TrainingSign;
pub use model::precision::{Precision, UnknownPrecision};
pub use model::surrogate::SurrogateGradients;
pub use norms::length::{Length, UnreadableLength};
pub use norms::norm::{Norm, UnknownNorm};
pub use norms::threat_model::ThreatModel;
pub use samples::in_memory::Samples;
pub use samples::source::{SampleSource, SampleStream, SourceError};
