//! Serves this machine's devices to programs on other machines, which name them as their `--device`.
//!
//! ```sh
//! export TWINS_REMOTE_TOKEN=$(openssl rand -hex 16)    # the same on both machines
//! twins serve --device cpu --iroh 4433
//! # on the other machine, with the address that `serve` printed:
//! twins evaluate --device remote:iroh://ID@HOST:4433 …
//! ```
//!
//! Clients let this process compute and hold whatever they like, so a server that other machines can reach asks for a token.
//! Over WebSocket neither the token nor the data is encrypted: for a trusted network only. See docs/remote.md.

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

/// Serves devices of this machine until Ctrl-C.
#[derive(Parser, Debug)]
struct Cli {
    /// Device to serve: cpu, ndarray, wgpu, vulkan or cuda (those compiled in), cuda:1 for a GPU by its number. Several, with
    /// commas between them, are #0, #1 and so on of the address.
    #[arg(long, default_value = "cpu", value_delimiter = ',')]
    device: Vec<DeviceChoice>,

    /// Address and TCP port on which to serve over WebSocket, unencrypted; port 0 lets the system choose one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,

    /// Serve over Iroh instead, encrypted, on this UDP port of every network interface; without relays or discovery.
    #[arg(long, value_name = "PORT", conflicts_with = "listen", value_parser = clap::value_parser!(u16).range(1..))]
    iroh: Option<u16>,

    /// File with the secret key of --iroh, which decides the server's ID; it is made if it does not exist.
    #[arg(long, default_value = "server.key", requires = "iroh")]
    key: PathBuf,

    /// Serve other machines without a token: whoever reaches the port can use the device.
    #[arg(long)]
    anyone: bool,

    /// Threads for the CPU backends; all cores unless given.
    #[arg(long)]
    threads: Option<usize>,
}

/// The command line.
pub fn command() -> Command {
    Cli::command().name("serve")
}

/// Does what the command line asks for.
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
    /// What to serve on, and the address that clients are to give.
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
