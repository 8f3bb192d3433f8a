//! Who may use a server: tokens, guessing, and the address that it listens on.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use burn::tensor::Tensor;
use burn_twins::{DeviceChoice, RemoteToken};
use burn_twins_tests::Server;
use twins_testing::{example, twins};

use super::fault;

/// Wrong tokens after which a client is refused.
const LIMIT: usize = 10;

fn works(device: &DeviceChoice) {
    let device = device.open().unwrap();
    assert_eq!(Tensor::<1>::from_floats([1.0, 2.0, 3.5], &device).sum().into_scalar::<f32>(), 6.5);
}

fn is_rejected(device: &DeviceChoice) {
    let error = fault(device);
    assert!(error.contains("rejected the credential") && !error.contains(Server::TOKEN), "{error}");
}

/// A token of the right length. Burn opens a new session for each.
fn wrong(place: usize) -> String {
    format!("{place:032}")
}

#[test]
fn the_default_is_encrypted_and_for_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::iroh(folder.path(), Server::TOKEN);
    assert!(server.listening().starts_with("127.0.0.1:"), "{}", server.listening());
    assert!(server.choice().to_string().starts_with("remote:iroh://"), "{}", server.choice());
    is_rejected(&server.choice());
    is_rejected(&server.choice_with(&wrong(0)));
    is_rejected(&server.choice_with(&Server::TOKEN[1..]));
    works(&server.choice_with(Server::TOKEN));
}

#[test]
fn a_client_that_guesses_is_refused_and_others_are_not() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: a second address of this machine is needed, and it has no IPv6");
        return;
    }
    let server = Server::start(&["--websocket", "--listen", "[::]:0"], Server::TOKEN);
    for place in 0..LIMIT {
        is_rejected(&server.choice_with(&wrong(place)));
    }
    is_rejected(&server.choice_with(Server::TOKEN));
    let (_, port) = server.listening().rsplit_once(':').unwrap();
    let other: DeviceChoice = format!("remote:ws://[::1]:{port}").parse().unwrap();
    let DeviceChoice::Remote(other) = other else { unreachable!() };
    works(&DeviceChoice::Remote(other.with_token(Server::TOKEN)));
}

/// Each process has another ID, which does not help it.
#[test]
fn iroh_counts_wrong_tokens_by_address() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::iroh(folder.path(), Server::TOKEN);
    let in_another_process = || {
        let output = Command::new(example("evaluate"))
            .current_dir(folder.path())
            .args(["--weights", "missing", "--arch", "tiny-resnet", "--data", "builtin"])
            .args(["--attack", "clean", "--device", &server.choice().to_string()])
            .env_remove(RemoteToken::FILE_VARIABLE)
            .env(RemoteToken::VARIABLE, Server::TOKEN)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    // The device is opened before the weights are read.
    let error = in_another_process();
    assert!(error.contains("missing") && !error.contains("credential"), "{error}");
    for place in 0..LIMIT {
        is_rejected(&server.choice_with(&wrong(place)));
    }
    let error = in_another_process();
    assert!(error.contains("rejected the credential") && error.contains("for a minute"), "{error}");
}

#[test]
fn an_unsafe_server_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("server.key");
    let key = ["--key", key.to_str().unwrap()];
    for (arguments, token, parts) in [
        (["--listen", "0.0.0.0:0"], "", ["TWINS_REMOTE_TOKEN", "openssl rand -hex 16"]),
        (["--listen", "[::]:0"], "", ["TWINS_REMOTE_TOKEN", "openssl rand -hex 16"]),
        (["--listen", "127.0.0.1:0"], "hush-hush", ["9 characters", "openssl rand -hex 16"]),
        (["--listen", "127.0.0.1:0"], " ", ["is empty", "openssl rand -hex 16"]),
        (["--anyone", "--threads=1"], Server::TOKEN, ["--anyone", "leave one"]),
    ] {
        let message = Server::refused(&[arguments, key].concat(), token);
        for part in parts {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains("hush") && !message.contains(Server::TOKEN), "{message}");
    }
    // A command line can be read by every user, so there is no such option.
    let output = Command::new(twins()).args(["serve", "--token", Server::TOKEN]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn secrets_in_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("server.key");
    drop(Server::iroh(folder.path(), ""));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let message = Server::refused(&["--listen", "127.0.0.1:0", "--key", key.to_str().unwrap()], "");
    assert!(message.contains("mode 644") && message.contains("chmod 600"), "{message}");
}
