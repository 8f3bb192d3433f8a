use super::train_config::TrainConfig;

impl TrainConfig {
    /// Checks that a run that was started with `recorded` can be resumed with this configuration, which may have more epochs
    /// but must not differ otherwise.
    ///
    /// # Errors
    ///
    /// A description of the first setting that differs.
    pub fn check_resumes(&self, recorded: &Self) -> Result<(), String> {
        let epochs = if self.epochs > recorded.epochs { recorded.epochs } else { self.epochs };
        let difference = recorded.difference(&Self { epochs, ..self.clone() });
        difference.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimisers::Schedule;

    #[test]
    fn only_more_epochs_are_allowed() {
        let recorded = TrainConfig::default();
        let check = |config: TrainConfig| config.check_resumes(&recorded);
        assert_eq!(check(recorded.clone()), Ok(()));
        let of_epochs = |epochs| TrainConfig { epochs, ..recorded.clone() };
        assert_eq!(check(of_epochs(61)), Ok(()));
        assert_eq!(check(of_epochs(59)).unwrap_err(), "epochs was 60 and is now 59");
        assert_eq!(check(of_epochs(80).with_seed(1)).unwrap_err(), "seed was 0 and is now 1");
        let message = check(of_epochs(80).with_schedule(Schedule::paper(80))).unwrap_err();
        assert!(message.starts_with("schedule was"), "{message}");
    }
}
