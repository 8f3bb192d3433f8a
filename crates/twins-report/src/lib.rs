//! Reports of adversarial trainings: one self-contained HTML file for one or several runs.
//!
//! A report needs neither a network nor a script: charts are inline SVG, pictures are PNG in data URIs, and colours
//! follow the reader's light or dark scheme.
//!
//! ```
//! use twins_report::{Report, ReportRun};
//! use twins_train::{Method, TrainConfig};
//!
//! # fn main() -> Result<(), twins_report::ReportError> {
//! # let folder = std::env::temp_dir().join(format!("twins-report-{}", std::process::id()));
//! # let history = Vec::new();
//! // `history` comes from what a training returns, or from its metrics.jsonl.
//! let run = ReportRun::new("twins-at", history).with_config(&TrainConfig::new(Method::TwinsAt));
//! Report::new("Fine-tuning").with_fact("data", "letters").with_run(run).write(folder.join("report.html"))?;
//! # std::fs::remove_dir_all(folder).unwrap();
//! # Ok(())
//! # }
//! ```

mod chart;
mod config_table;
mod drift;
mod epochs;
mod error;
mod gallery;
mod html;
mod layers;
mod picture;
mod report;
mod robustness;
mod robustness_section;
mod run;
#[cfg(test)]
mod two_pixels;

pub use error::ReportError;
pub use gallery::Gallery;
pub use report::Report;
pub use robustness::{AttackScore, RobustnessCurve, stratified_samples};
pub use run::ReportRun;
