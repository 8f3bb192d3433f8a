use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use burn_twins::{DeviceChoice, RemoteAddress};
use twins_testing::example;

/// The example `serve` as a second process on this machine: a server of the device `cpu`, which ends when this is dropped.
pub struct Server {
    process: Child,
    /// The address that it printed.
    address: String,
}

impl Server {
    /// Starts one with these arguments, and with this token if it is not empty.
    pub fn start(arguments: &[&str], token: &str) -> Self {
        let binary = example("serve");
        let mut command = Command::new(&binary);
        command.args(arguments).env_remove(RemoteAddress::TOKEN_VARIABLE).env("RUST_LOG", "warn");
        if !token.is_empty() {
            command.env(RemoteAddress::TOKEN_VARIABLE, token);
        }
        let mut process =
            command.stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(address.starts_with("remote:"), "{arguments:?}: {line}");
        Self { process, address }
    }

    /// One over WebSocket on a port that the system chose.
    pub fn websocket() -> Self {
        Self::start(&["--listen", "127.0.0.1:0"], "")
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
