//! Tests that need a process to themselves.

use std::process::Command;

const ALONE: &str = "TWINS_TRAIN_TEST_ALONE";

/// Runs the calling test alone in a process of its own, because it measures or changes what belongs to the whole process: its memory, or Burn's random generators.
///
/// `test` is its full name, as in `module::test`.
pub(crate) fn alone(test: &str, run: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ALONE, test)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    // A name that no test has would pass, with none run.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{test}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
