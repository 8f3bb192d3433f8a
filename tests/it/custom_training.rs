//! The example `custom_training` runs and its foreign net learns.

use std::process::Command;

use twins_testing::example;

#[test]
fn a_foreign_model_data_set_and_objective_are_trained() {
    let binary = example("custom_training");
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&binary).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // "after: clean 100.00 % (100 of 100), PGD-10 Linf 16/255 99.00 % (99 of 100)"
    let accuracies = |line: &str| -> Vec<f64> {
        let line = text.lines().find(|found| found.starts_with(line)).expect("two lines of accuracies");
        let words: Vec<&str> = line.split_whitespace().collect();
        words.windows(2).filter(|pair| pair[1] == "%").map(|pair| pair[0].parse().unwrap()).collect()
    };
    let (before, after) = (accuracies("before:"), accuracies("after:"));
    assert_eq!((before.len(), after.len()), (2, 2), "{text}");
    // Chance is 50 %; the stripes are easy.
    assert!(after.iter().all(|accuracy| *accuracy >= 90.0) && before[0] < 90.0, "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves no files behind");
}
