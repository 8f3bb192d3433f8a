//! Serves this machine's devices to programs on other machines, which select them with `--device`.
//!
//! ```sh
//! export TWINS_REMOTE_TOKEN=$(openssl rand -hex 16)    # the same on both machines
//! twins serve --device cpu --iroh 4433
//! # on the other machine, with the address that `serve` printed:
//! twins evaluate --device remote:iroh://ID@HOST:4433 …
//! ```
//!
//! Clients can use any amount of this process's compute and memory, so a server that other machines can reach requires a token. WebSocket
//! encrypts neither the token nor the data: use it on a trusted network only. See docs/remote.md.

use std::io::{Write, stdout};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use burn::server::{
    IrohIdentity, IrohRelays, IrohTransport, RemoteServer, TokenAuthorizer, Transport, WebSocketTransport,
};
use burn_twins::experiment::ComputeConfig;
use burn_twins::{DeviceChoice, RemoteAddress};
use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::support::Outcome;

/// Serves devices of this machine until it is stopped with Ctrl-C.
#[derive(Parser, Debug)]
struct Cli {
    /// Devices to serve, separated by commas: cpu, ndarray, wgpu, vulkan or cuda (if compiled in); cuda:1 selects a GPU by its number.
    /// Clients select one of several devices by #0, #1 and so on at the end of the address.
    #[arg(long, default_value = "cpu", value_delimiter = ',')]
    device: Vec<DeviceChoice>,

    /// Address and TCP port for WebSocket connections, which are not encrypted; with port 0 the system chooses a free port.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,

    /// Serve over Iroh instead of WebSocket: encrypted, on this UDP port of every network interface, without relays or discovery.
    #[arg(long, value_name = "PORT", conflicts_with = "listen", value_parser = clap::value_parser!(u16).range(1..))]
    iroh: Option<u16>,

    /// File with the secret key for --iroh, which determines the server's ID; created if it does not exist.
    #[arg(long, default_value = "server.key", requires = "iroh")]
    key: PathBuf,

    /// Serve other machines without a token: anyone who can reach the port can use the devices.
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
    let token = std::env::var(RemoteAddress::TOKEN_VARIABLE).ok();
    let private = cli.iroh.is_none() && cli.listen.ip().is_loopback();
    if token.is_none() && !private && !cli.anyone {
        return Err(format!(
            "other machines can reach this port: set {} to a secret that clients have to give, or pass --anyone",
            RemoteAddress::TOKEN_VARIABLE
        )
        .into());
    }
    let compute =
        ComputeConfig { devices: cli.device.clone(), threads: cli.threads, ..ComputeConfig::default() };
    let devices = compute.open()?;
    let (transport, address) = cli.transport()?;
    let mut server = RemoteServer::new(devices);
    let clients = match token {
        Some(token) => {
            server = server.with_authorizer(TokenAuthorizer::new(token)?);
            "clients with the token"
        }
        None if private => "every program on this machine",
        None => "anyone",
    };
    let names: Vec<_> = cli.device.iter().map(DeviceChoice::to_string).collect();
    println!("serving {} to {clients} at remote:{address}", names.join(","));
    stdout().flush()?;
    Ok(server.serve(transport)?)
}

impl Cli {
    /// The transport to serve on, and the address that clients pass.
    fn transport(&self) -> Result<(Transport, String), Box<dyn std::error::Error>> {
        let Some(port) = self.iroh else {
            let listener = TcpListener::bind(self.listen)
                .map_err(|error| format!("--listen {}: {error}; give another port", self.listen))?;
            let address = match listener.local_addr()? {
                bound if bound.ip().is_unspecified() => format!("ws://HOST:{}", bound.port()),
                bound => format!("ws://{bound}"),
            };
            return Ok((WebSocketTransport::from_listener(listener).into(), address));
        };
        let identity = IrohIdentity::load_or_create(&self.key)
            .map_err(|error| format!("--key {}: {error}", self.key.display()))?;
        let transport = IrohTransport::new(identity).with_relays(IrohRelays::Disabled).with_port(port);
        let address = format!("iroh://{}@HOST:{port}", transport.id());
        Ok((transport.into(), address))
    }
}
