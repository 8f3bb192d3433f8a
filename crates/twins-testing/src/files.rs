use std::env;
use std::path::{Path, PathBuf};

/// The root folder of the repository: that of the package whose tests Cargo runs, or where this crate was compiled if they run without
/// Cargo. Several checkouts may share a folder of compiled crates, so that this one need not have been compiled where the tests are.
pub fn repository() -> PathBuf {
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&here).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("the root of the workspace has a Cargo.lock").to_owned()
}

/// Checks that a page of the documentation is what the code writes. With `TWINS_WRITE_REFERENCE` set, writes it.
///
/// # Panics
///
/// Where the page is another one, with the command that writes it.
pub fn check_page(page: &str, expected: &str) {
    let path = repository().join(page);
    if env::var_os("TWINS_WRITE_REFERENCE").is_some() {
        let folder = path.parent().expect("a page is in a folder");
        std::fs::create_dir_all(folder).expect("the folder of the page can be created");
        std::fs::write(&path, expected).expect("the page can be written");
        return;
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == expected,
        "{page} is not what the code writes; write it anew with TWINS_WRITE_REFERENCE=1 cargo test --release reference"
    );
}

/// The program of an example of the root package, which `cargo test --workspace` and `cargo build --examples` build.
///
/// # Panics
///
/// If it was not built.
pub fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"), "cargo build --release --examples")
}

/// The program `twins`, which `cargo build -p twins-cli` builds.
///
/// # Panics
///
/// If it was not built.
pub fn twins() -> PathBuf {
    built("twins", "cargo build --release -p twins-cli")
}

fn built(path: &str, command: &str) -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let folder = test.parent().and_then(Path::parent).expect("tests are in a folder of the profile's");
    let program = folder.join(path).with_extension(env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is missing: run `{command}` first", program.display());
    program
}

/// A file below `TWINS_SHARED`, the folder of real weights and images; `None`, with a message on standard error, where the
/// variable is unset.
///
/// # Panics
///
/// If the variable is set and the file is missing.
pub fn shared(file: &str) -> Option<PathBuf> {
    let Some(root) = env::var_os("TWINS_SHARED") else {
        eprintln!("skipped: TWINS_SHARED is not set, so {file} cannot be read");
        return None;
    };
    let path = PathBuf::from(root).join(file);
    assert!(path.exists(), "TWINS_SHARED is set, but {} does not exist", path.display());
    Some(path)
}
