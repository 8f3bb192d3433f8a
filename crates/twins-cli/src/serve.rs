//! Serves this machine's devices to programs on other machines, which select them with `--device`.
//!
//! ```sh
//! export TWINS_REMOTE_TOKEN=$(openssl rand -hex 16)    # the same on both machines
//! twins serve --device cpu --listen 0.0.0.0:4433
//! # on the other machine, with the address that `serve` printed:
//! twins evaluate --device remote:iroh://ID@HOST:4433 …
//! ```
//!
//! Clients can use any amount of this process's compute and memory, so a server that other machines can reach requires a token. See
//! docs/remote.md for what the token and the encryption protect.

use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::path::PathBuf;

use burn_twins::experiment::{ComputeConfig, DeviceServer, ServerAccess, ServerConfig, ServerTransport};
use burn_twins::{DeviceChoice, RemoteToken};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::output::{note, say};
use crate::support::{Outcome, printing};

/// Serves devices of this machine until it is stopped with Ctrl-C. Clients have to give the token in the environment variable
/// TWINS_REMOTE_TOKEN, or in the file that TWINS_REMOTE_TOKEN_FILE names.
#[derive(Parser, Debug)]
struct Cli {
    /// Devices to serve, separated by commas: cpu, ndarray, wgpu, vulkan or cuda (if compiled in); cuda:1 selects a GPU by its number.
    /// GPUs and CPUs need servers of their own. Clients select one of several devices by #0, #1 and so on at the end of the address.
    #[arg(long, default_value = "cpu", value_delimiter = ',')]
    device: Vec<DeviceChoice>,

    /// Address and port to listen on: UDP, or TCP with --websocket. 0.0.0.0:4433 listens on every network interface; with port 0 the system
    /// chooses a free port.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4433")]
    listen: SocketAddr,

    /// File with the secret key, which determines the server's ID; created if it does not exist.
    #[arg(long, default_value = "server.key", conflicts_with = "websocket")]
    key: PathBuf,

    /// Serve over WebSocket instead of Iroh. Neither the token nor the data are encrypted: use it on one machine or in a trusted network.
    #[arg(long)]
    websocket: bool,

    /// Serve without a token: everyone who can reach the port can use the devices.
    #[arg(long)]
    anyone: bool,

    /// Threads of the CPU backends; all cores by default.
    #[arg(long)]
    threads: Option<usize>,
}

/// Defines the command line.
pub fn command() -> Command {
    Cli::command().name("serve")
}

/// Runs the command.
pub fn start(matches: &ArgMatches) -> Outcome {
    run(&Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit()))
}

fn run(cli: &Cli) -> Outcome {
    let access = cli.access()?;
    let clients = match &access {
        ServerAccess::Token(_) => "clients with the token",
        ServerAccess::ThisMachine => "every program on this machine",
        ServerAccess::Anyone => "anyone",
    };
    let transport = if cli.websocket {
        ServerTransport::WebSocket
    } else {
        ServerTransport::Iroh { key: cli.key.clone() }
    };
    let compute =
        ComputeConfig { devices: cli.device.clone(), threads: cli.threads, ..ComputeConfig::default() };
    let devices = compute.names();
    let config = ServerConfig::new(compute, access).with_listen(cli.listen).with_transport(transport);
    let server = DeviceServer::bind(config, printing())?;
    for warning in server.warnings() {
        note!("warning: {warning}");
    }
    let protocol = if server.is_encrypted() { "UDP, encrypted" } else { "TCP, not encrypted" };
    let reach = if server.is_reachable() { "other machines" } else { "only this machine" };
    // The last word is the address: scripts read it.
    say!(
        "listening on {} ({protocol}): {reach} can connect\nserving {devices} to {clients} at remote:{}",
        server.bound(),
        server.address()
    );
    stdout().flush()?;
    Ok(server.serve()?)
}

impl Cli {
    fn access(&self) -> Result<ServerAccess, Box<dyn std::error::Error>> {
        match (RemoteToken::from_environment()?, self.anyone) {
            (Some(_), true) => {
                Err("there is a token in the environment, which --anyone would ignore; leave one of them out"
                    .into())
            }
            (Some(token), false) => Ok(ServerAccess::Token(token)),
            (None, true) => Ok(ServerAccess::Anyone),
            (None, false) => Ok(ServerAccess::ThisMachine),
        }
    }
}
