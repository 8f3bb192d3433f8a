//! Reports of adversarial training: one self-contained HTML file for one run, several runs or a study.
//!
//! A run writes its results to its directory: the trainer writes `metrics.jsonl`, and a [`RunRecord`] is stored as
//! `result.json`. A [`Report`] is created from such records, even if the runs have not ended:
//!
//! ```
//! use twins_report::{Provenance, Report, RunRecord};
//! use twins_train::{Method, TrainConfig};
//!
//! # fn main() -> Result<(), twins_report::ReportError> {
//! # let folder = std::env::temp_dir().join(format!("twins-report-{}", std::process::id()));
//! # for method in [Method::At, Method::TwinsAt] {
//! #     let config = TrainConfig::new(method);
//! #     RunRecord::new(method.name(), &config, Provenance::starting_now(0))?.write(folder.join(method.name()))?;
//! # }
//! let report = Report::of_directories(&[folder.join("at"), folder.join("twins-at")])?;
//! report.write(folder.join("report.html"))?;
//! # std::fs::remove_dir_all(folder).unwrap();
//! # Ok(())
//! # }
//! ```
//!
//! The measurements on test images are [`Score`], [`RobustnessCurve`] and [`Gallery`]. A [`StudyTable`] contains means
//! over seeds and paired differences.
//!
//! A report needs neither network access nor scripts: charts are inline SVG, images are PNG in data URIs, and colours
//! follow the reader's light or dark scheme. Charts and images have alternative texts with their main numbers, lines
//! differ in dashes and markers as well as in colour, and tables have captions and headings with a scope.

mod directories;
mod error;
#[cfg(test)]
mod example;
mod html;
mod measure;
mod record;
mod report;
mod sections;
mod study;

pub use error::ReportError;
pub use measure::curve::RobustnessCurve;
pub use measure::gallery::{Gallery, GalleryImage};
pub use measure::png::{NoPngUri, PngUri};
pub use measure::samples::stratified_samples;
pub use record::command::command_line;
pub use record::fact::Fact;
pub use record::provenance::Provenance;
pub use record::run_record::{RunRecord, TestedCheckpoint};
pub use record::score::{Score, ScoreKind};
pub use record::setting::Setting;
pub use record::status::RunStatus;
pub use report::Report;
pub use study::{StudyArm, StudyCell, StudyColumn, StudyGaps, StudyRow, StudyTable};
