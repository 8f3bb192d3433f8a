use crate::error::TrainError;
use crate::metrics::TrainingObserver;

/// The observers of a training run. An observer that fails is disabled.
#[derive(Default)]
pub(crate) struct Observers {
    active: Vec<Box<dyn TrainingObserver>>,
    errors: Vec<TrainError>,
}

impl Observers {
    pub(super) fn add(&mut self, observer: impl TrainingObserver + 'static) {
        self.active.push(Box::new(observer));
    }

    /// Calls every observer and returns the first error, which ends training before its first step.
    pub(super) fn begin(
        &mut self,
        call: impl Fn(&mut dyn TrainingObserver) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        self.active.iter_mut().try_for_each(|observer| call(observer.as_mut()))
    }

    /// Calls every observer that has not failed. Returns the messages to print about those that fail now.
    pub(super) fn notify(
        &mut self,
        call: impl Fn(&mut dyn TrainingObserver) -> Result<(), TrainError>,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        self.active.retain_mut(|observer| match call(observer.as_mut()) {
            Ok(()) => true,
            Err(error) => {
                warnings.push(format!("warning: {error}. The training continues without this observer"));
                self.errors.push(error);
                false
            }
        });
        warnings
    }

    pub(super) fn into_errors(self) -> Vec<TrainError> {
        self.errors
    }
}
