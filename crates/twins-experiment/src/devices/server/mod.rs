//! Serves this machine's devices to other programs, which open them by a [`RemoteAddress`](super::RemoteAddress).

mod authorizer;
mod config;
mod error;
mod iroh_server;

pub use config::{ServerAccess, ServerConfig, ServerTransport};
pub use error::ServerError;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use burn::server::{RemoteServer, WebSocketTransport};

use authorizer::{ClientAddresses, LimitedAuthorizer};
use iroh_server::IrohServer;

use crate::devices::DeviceChoice;
use crate::notice::Notify;
use crate::settings::ComputeConfig;

/// A server that is bound to its port.
///
/// The server runs in this process, with Burn's remote backend. Clients use its devices, compute and memory.
///
/// ```no_run
/// use twins_experiment::{ComputeConfig, DeviceServer, RemoteToken, ServerAccess, ServerConfig, silent};
///
/// let token = RemoteToken::from_environment()?.expect("TWINS_REMOTE_TOKEN is set");
/// let config = ServerConfig::new(ComputeConfig::default(), ServerAccess::Token(token))
///     .with_listen("0.0.0.0:4433".parse()?);
/// let server = DeviceServer::bind(config, silent())?;
/// println!("serving at remote:{}", server.address());
/// server.serve()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DeviceServer {
    address: String,
    bound: SocketAddr,
    access: ServerAccess,
    listening: Listening,
}

enum Listening {
    Iroh(IrohServer),
    WebSocket(RemoteServer, TcpListener),
}

impl DeviceServer {
    /// Opens the devices and binds the port. `notify` receives a warning if a client is refused because it guesses tokens.
    ///
    /// # Errors
    ///
    /// Other machines can reach the port and there is no token, the token is too short, a server cannot have these devices, a device cannot
    /// be opened, the file with the secret key cannot be used, or the port cannot be bound.
    pub fn bind(config: ServerConfig, notify: Notify) -> Result<Self, ServerError> {
        let ServerConfig { compute, listen, transport, access } = config;
        match &access {
            ServerAccess::Token(token) => token.check_length()?,
            ServerAccess::ThisMachine if !is_loopback(listen) => {
                return Err(ServerError::NoToken { listen });
            }
            ServerAccess::ThisMachine | ServerAccess::Anyone => (),
        }
        check_backends(&compute)?;
        let mut server = RemoteServer::new(compute.open().map_err(Box::new)?);
        let clients = Arc::new(ClientAddresses::default());
        if let ServerAccess::Token(token) = &access {
            server = server.with_authorizer(LimitedAuthorizer::new(token, Arc::clone(&clients), notify));
        }
        Ok(match transport {
            ServerTransport::Iroh { key } => {
                let server = IrohServer::bind(&key, listen, server, clients)?;
                let bound = server.bound();
                let address = format!("iroh://{}@{}", server.id(), host(bound));
                Self { address, bound, access, listening: Listening::Iroh(server) }
            }
            ServerTransport::WebSocket => {
                let unbound =
                    |error: std::io::Error| ServerError::Listen { listen, reason: error.to_string() };
                let listener = TcpListener::bind(listen).map_err(unbound)?;
                let bound = listener.local_addr().map_err(unbound)?;
                let address = format!("ws://{}", host(bound));
                Self { address, bound, access, listening: Listening::WebSocket(server, listener) }
            }
        })
    }

    /// The address for clients, to be given after `remote:`. Its host is `HOST` if the server listens on every interface.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address and port that the server listens on.
    pub const fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Whether programs on other machines can reach the port.
    pub const fn is_reachable(&self) -> bool {
        !is_loopback(self.bound)
    }

    /// Whether the connection is encrypted.
    pub const fn is_encrypted(&self) -> bool {
        matches!(self.listening, Listening::Iroh(_))
    }

    /// What the operator should know about the exposure of the server, each on one line; empty if only this machine can reach it.
    pub fn warnings(&self) -> Vec<String> {
        if !self.is_reachable() {
            return Vec::new();
        }
        let bound = self.bound;
        let mut warnings = vec![match &self.access {
            ServerAccess::Token(_) => format!(
                "other machines can reach {bound}; whoever has the token can run any tensor operation here and use all of the memory"
            ),
            ServerAccess::ThisMachine | ServerAccess::Anyone => format!(
                "other machines can reach {bound}, and anyone there can run any tensor operation here and use all of the memory"
            ),
        }];
        if !self.is_encrypted() {
            warnings.push(
                "WebSocket encrypts neither the token nor the data: use it in a trusted network only, or leave --websocket out"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Serves until the process is interrupted (Ctrl-C, or SIGTERM on Unix). Logs sessions to standard output, filtered by `RUST_LOG`.
    ///
    /// # Errors
    ///
    /// The network failed while serving.
    pub fn serve(self) -> Result<(), ServerError> {
        match self.listening {
            Listening::Iroh(server) => server.serve(),
            Listening::WebSocket(server, listener) => server
                .serve(WebSocketTransport::from_listener(listener))
                .map_err(|error| ServerError::Serving { reason: error.to_string() }),
        }
    }
}

/// Checks that the devices are of one backend and of this machine. Burn refuses others only when it serves.
fn check_backends(compute: &ComputeConfig) -> Result<(), ServerError> {
    let devices = &compute.devices;
    if let Some(device) = devices.iter().find(|device| matches!(device, DeviceChoice::Remote(_))) {
        return Err(ServerError::RemoteDevice { device: Box::new(device.clone()) });
    }
    // All GPUs are of one backend of Burn.
    let is_gpu = |device: &DeviceChoice| !device.is_cpu();
    if devices.windows(2).all(|pair| pair[0] == pair[1] || pair.iter().all(is_gpu)) {
        return Ok(());
    }
    Err(ServerError::MixedBackends { devices: compute.names() })
}

const fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// The host and port by which clients reach the address.
fn host(bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() { format!("HOST:{}", bound.port()) } else { bound.to_string() }
}
