use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use burn_twins::{DeviceChoice, RemoteToken};
use twins_testing::twins;

/// `twins serve` as a second process on this machine: a server of the device `cpu`, which ends when this is dropped.
pub struct Server {
    process: Child,
    arguments: Vec<String>,
    token: String,
    /// The address and port that it printed.
    listening: String,
    /// The address for clients that it printed.
    address: String,
}

impl Server {
    /// A token that servers accept.
    pub const TOKEN: &str = "5b0c1d3f86a94e27a1c60d9e74f2b835";

    /// Starts one with these arguments, and with this token if it is not empty.
    pub fn start(arguments: &[&str], token: &str) -> Self {
        let mut process = command(arguments, token).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = |first: &str| {
            let line = lines.next().unwrap_or_else(|| panic!("{arguments:?}: it ended")).unwrap();
            assert!(line.starts_with(first) && !line.contains(Self::TOKEN), "{arguments:?}: {line}");
            line
        };
        let listening = line("listening on ").split(' ').nth(2).unwrap().to_owned();
        let address = line("serving ").rsplit(' ').next().unwrap().to_owned();
        assert!(address.starts_with("remote:"), "{arguments:?}: {address}");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { process, arguments, token: token.to_owned(), listening, address }
    }

    /// One over WebSocket on a port that the system chose.
    pub fn websocket() -> Self {
        Self::start(&["--websocket", "--listen", "127.0.0.1:0"], "")
    }

    /// One over Iroh on a port that the system chose, with a key in the folder.
    pub fn iroh(folder: &Path, token: &str) -> Self {
        let key = folder.join("server.key");
        Self::start(&["--listen", "127.0.0.1:0", "--key", key.to_str().unwrap()], token)
    }

    /// Runs one that must not start, and returns its error.
    pub fn refused(arguments: &[&str], token: &str) -> String {
        let mut command = command(arguments, token);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        while process.try_wait().unwrap().is_none() {
            if begin.elapsed() > Duration::from_secs(30) {
                process.kill().unwrap();
                panic!("{arguments:?}: it serves");
            }
            sleep(Duration::from_millis(10));
        }
        let Output { status, stderr, .. } = process.wait_with_output().unwrap();
        let message = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {message}");
        message
    }

    /// The address and port that it listens on.
    pub fn listening(&self) -> &str {
        &self.listening
    }

    /// Its device.
    pub fn choice(&self) -> DeviceChoice {
        self.address.replace("HOST", "127.0.0.1").parse().unwrap()
    }

    /// Its device, for a client with this token.
    pub fn choice_with(&self, token: &str) -> DeviceChoice {
        match self.choice() {
            DeviceChoice::Remote(address) => DeviceChoice::Remote(address.with_token(token)),
            other => panic!("{other}"),
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again after it was killed, at the same address.
    pub fn restart(&mut self) {
        let listen = self.arguments.iter().position(|argument| argument == "--listen").unwrap();
        self.arguments[listen + 1].clone_from(&self.listening);
        let arguments = self.arguments.clone();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let token = self.token.clone();
        *self = Self::start(&arguments, &token);
    }

    /// Sends it a signal, such as `STOP`, after which it holds its connections open without responding.
    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        assert!(
            Command::new("kill").args([&signal, &self.process.id().to_string()]).status().unwrap().success()
        );
    }
}

fn command(arguments: &[&str], token: &str) -> Command {
    let mut command = Command::new(twins());
    command.arg("serve").args(arguments).env("RUST_LOG", "warn");
    command.env_remove(RemoteToken::VARIABLE).env_remove(RemoteToken::FILE_VARIABLE);
    if !token.is_empty() {
        command.env(RemoteToken::VARIABLE, token);
    }
    command
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
