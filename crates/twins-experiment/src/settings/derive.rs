use twins_train::ValidationConfig;

use super::{ExperimentConfig, Sources};

/// Derives settings from other settings, unless a source gives them.
pub(super) fn derive(config: &mut ExperimentConfig, base: &ExperimentConfig, sources: &Sources) {
    let training = &mut config.training;
    // A preset holds out no images because its data has no validation part.
    if config.data.source.has_validation() && sources.of("training.validation.fraction").is_none() {
        training.validation.fraction = training.validation.fraction.or(ValidationConfig::default().fraction);
    }
    if sources.of("training.schedule").is_none() {
        training.schedule = training.usual_schedule();
    }
    if sources.of("training.adversary.step_size").is_none()
        && sources.of("training.adversary.epsilon").is_some()
    {
        training.adversary =
            training.adversary.clone().with_step_size_in_proportion_to(&base.training.adversary);
    }
}
