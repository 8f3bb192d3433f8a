//! Adversarial attacks on any Burn classifier.
//!
//! An attack needs three things: a victim, any function from images to logits ([`Classifier`]); samples with their
//! labels ([`Samples`], or for large data sets a [`SampleStream`]); and a threat model that says which perturbations
//! count ([`ThreatModel`]). All attacks share the trait [`Attack`]:
//!
//! * [`Pgd`]: FGSM, MI-FGSM and projected gradient descent;
//! * [`Apgd`]: Auto-PGD, untargeted and targeted;
//! * [`Fab`]: the nearest point behind the decision boundary;
//! * [`Square`]: random search on the logits alone;
//! * [`AutoAttack`]: the published ensemble of these, with a report, progress and resumption;
//! * [`Restarts`] and [`WorstCase`]: the worst case over several runs of an attack, or over several attacks.
//!
//! [`SurrogateGradients`] takes the gradients of another victim, for instance of one in half precision
//! ([`AtPrecision`]), and the verdicts of the model itself.
//!
//! Results depend neither on the batch size nor on the order of the samples: random draws belong to the sample
//! ([`Draws`]), and an attack is a [`Search`] on one sample. What batches do is speed: the searches' questions are
//! packed into full batches, and a sample that is fooled leaves at once.
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

mod apgd;
mod at_precision;
mod attack;
mod autoattack;
mod caller_device;
mod claims;
mod classifier;
mod clean;
mod draws;
mod engine;
mod error;
mod fab;
mod goal;
mod gradient;
mod hash;
mod inference_form;
mod journal;
mod l1_projection;
mod lanes;
mod length;
mod loss;
mod norm;
mod pgd;
mod precision;
mod restarts;
mod samples;
mod search;
mod shards;
mod source;
mod square;
mod surrogate;
mod targets;
mod task;
mod threat_model;
mod verification;
mod worst_case;

pub use apgd::{Apgd, ApgdConfig, L1Phases};
pub use at_precision::AtPrecision;
pub use attack::{AsAttack, Attack, AttackOutput};
pub use autoattack::{
    AttackKind, AutoAttack, AutoAttackConfig, Count, Evaluation, EvaluationState, Observer, Outcome,
    Progress, Replica, Report, SampleRecord, Silent, StageReport, UnknownAttack, UnknownVersion, Version,
    Warning, wilson_interval,
};
pub use classifier::{Classifier, accuracy, predictions};
pub use draws::Draws;
pub use error::AttackError;
pub use fab::{Fab, FabCandidates, FabConfig, FabDepth};
pub use goal::{Goal, Returned, RunSelection};
pub use inference_form::TrainingSign;
pub use journal::{Journal, JournalError, JournalWriter};
pub use length::{Length, UnreadableLength};
pub use loss::{Aim, Loss};
pub use norm::{Norm, UnknownNorm};
pub use pgd::{Pgd, PgdConfig, Start};
pub use precision::{Precision, UnknownPrecision};
pub use restarts::Restarts;
pub use samples::Samples;
pub use search::{Finding, Need, Search, Step, Subject};
pub use source::{SampleSource, SampleStream, SourceError};
pub use square::{Square, SquareConfig, SquareSchedule};
pub use surrogate::SurrogateGradients;
pub use targets::Targets;
pub use threat_model::ThreatModel;
pub use verification::{Quorum, Verification, VerificationRule};
pub use worst_case::WorstCase;
