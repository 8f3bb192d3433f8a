use std::process::Command;

const ALONE: &str = "TWINS_TEST_ALONE";

/// Runs the calling test alone in a process of its own, because it measures or changes what belongs to the whole process:
/// its memory, or Burn's random generators.
///
/// `test` is its full name, as in `module::test`.
///
/// # Panics
///
/// If the test fails there, or no test has that name.
pub fn alone(test: &str, run: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(ALONE, test)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    print!("{stdout}");
    // Without a test of that name the process would succeed.
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{test}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
