//! A run that is resumed with more epochs continues as if it had been begun with them.

use std::path::Path;

use twins_train::{Ended, ExistingRun, Method, Schedule, TrainConfig, TrainError, Trained, Weights};
use twins_train_testing::{Net, Squares, config, state, trainer};

fn fit(config: TrainConfig, run: &Path) -> Result<Trained<Net>, TrainError> {
    trainer(config).with_run_directory(run, ExistingRun::Resume).fit(Net::new(4, 1), Squares::dataset(90, 1))
}

#[test]
fn a_finished_run_continues_with_more_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let [long, longer] = ["long", "longer"].map(|name| folder.path().join(name));
    // The milestone after epoch 2 is in the second part.
    let config = config(Method::TwinsAt).with_ema_decay(0.9);
    let straight = fit(config.clone().with_epochs(4), &long).unwrap();
    assert_eq!(fit(config.clone().with_epochs(2), &longer).unwrap().ended, Ended::Completed);
    let resumed = fit(config.clone().with_epochs(4), &longer).unwrap();
    assert_eq!(resumed.history.len(), 4);
    assert_eq!(Weights::of(&resumed.last), Weights::of(&straight.last));
    assert_eq!(Weights::of(&resumed.best), Weights::of(&straight.best));
    assert!(state(&long) == state(&longer));
    assert_eq!(TrainConfig::from_file(longer.join("config.json")).unwrap().epochs, 4);

    // Fewer epochs, or more and something else, are refused, and the run keeps its number.
    let message = fit(config.clone().with_epochs(3), &longer).unwrap_err().to_string();
    assert!(message.contains("epochs was 4 and is now 3"), "{message}");
    let other = config.with_epochs(5).with_schedule(Schedule::Constant);
    let message = fit(other, &longer).unwrap_err().to_string();
    assert!(message.contains("schedule was"), "{message}");
    assert_eq!(TrainConfig::from_file(longer.join("config.json")).unwrap().epochs, 4);
}

/// Seen: a default float parser reads 23/255 back as another number, so that the run was taken for one with another
/// epsilon.
#[test]
fn every_epsilon_of_255_levels_resumes() {
    let folder = tempfile::tempdir().unwrap();
    for levels in 1..=255 {
        let config = TrainConfig::default();
        let mut adversary = config.adversary.clone();
        adversary.epsilon = f64::from(levels) / 255.0;
        adversary.step_size = adversary.epsilon / 4.0;
        let config = config.with_adversary(adversary);
        let path = folder.path().join("config.json");
        std::fs::write(&path, serde_json::to_string_pretty(&config).unwrap()).unwrap();
        assert_eq!(TrainConfig::from_file(&path).unwrap(), config, "{levels}/255");
    }
    let adversary = twins_train::AdversaryConfig { epsilon: 23.0 / 255.0, ..config(Method::At).adversary };
    let config = config(Method::At).with_epochs(1).with_adversary(adversary);
    let run = folder.path().join("run");
    fit(config.clone(), &run).unwrap();
    assert_eq!(fit(config.with_epochs(2), &run).unwrap().history.len(), 2);
}
