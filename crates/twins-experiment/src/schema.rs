use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use twins_report::RunRecord;
use twins_train::{EffectiveConfig, EpochMetrics, StepRecord};

use crate::run::Identity;
use crate::study::{Divergence, StudyIdentity, StudyResults};

/// The JSON Schema of the form in which a type is written.
///
/// ```
/// use twins_experiment::{Divergence, written_schema};
///
/// let schema = written_schema::<Divergence>();
/// assert_eq!(schema.pointer("/properties/epoch/type"), Some(&"integer".into()));
/// ```
pub fn written_schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

/// The names of the JSON files in the directories of runs and studies, with the JSON Schema of each file; for files of lines, of a line.
pub fn file_schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("experiment.json", written_schema::<Identity>()),
        ("config.json", written_schema::<EffectiveConfig>()),
        ("metrics.jsonl", written_schema::<EpochMetrics>()),
        ("steps.jsonl", written_schema::<StepRecord>()),
        ("result.json", written_schema::<RunRecord>()),
        ("study.json", written_schema::<StudyIdentity>()),
        ("study-results.json", written_schema::<StudyResults>()),
        ("diverged.json", written_schema::<Divergence>()),
    ]
}
