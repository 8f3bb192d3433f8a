use std::process::Command;

const IN_OWN_PROCESS: &str = "TWINS_TEST_IN_OWN_PROCESS";

/// Runs the calling test in its own process, because it measures or changes what belongs to the whole process:
/// its memory, or Burn's random generators.
///
/// `test` is its full name, as in `module::test`.
///
/// # Panics
///
/// If the test fails there, or no test has that name.
pub fn in_own_process(test: &str, run: impl FnOnce()) {
    if std::env::var_os(IN_OWN_PROCESS).is_some() {
        return run();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(IN_OWN_PROCESS, test)
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
