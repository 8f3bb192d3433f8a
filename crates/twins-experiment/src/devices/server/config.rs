use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::devices::RemoteToken;
use crate::settings::ComputeConfig;

/// How devices are served.
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `compute` | | the devices, and the threads of the CPU | as opened by [`ComputeConfig::open`] |
/// | `access` | | which clients may use the devices | [`ServerAccess`] |
/// | `listen` | `127.0.0.1:4433` | the address and port: UDP for Iroh, TCP for WebSocket | port 0: a free one |
/// | `transport` | Iroh with `server.key` | the network protocol | [`ServerTransport`] |
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The devices and threads.
    pub compute: ComputeConfig,
    /// Which clients may use the devices.
    pub access: ServerAccess,
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The network protocol.
    pub transport: ServerTransport,
}

/// Which clients may use the devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAccess {
    /// Clients that give this token. After ten wrong tokens within a minute, an address is refused for a minute.
    Token(RemoteToken),
    /// Every program on this machine, and over WebSocket also every web page in its browsers. The server refuses to listen on an address that
    /// other machines can reach.
    ThisMachine,
    /// Everyone who can reach the port.
    Anyone,
}

/// A network protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerTransport {
    /// Iroh, that is, QUIC over UDP: encrypted, and the client verifies the server's identity. It uses neither relays nor discovery.
    Iroh {
        /// The file with the secret key that determines the server's ID; created if it does not exist.
        key: PathBuf,
    },
    /// WebSocket over TCP, which encrypts neither the token nor the data.
    WebSocket,
}

impl ServerConfig {
    /// The default port.
    pub const PORT: u16 = 4433;

    /// Serves devices over Iroh to programs on this machine that have access.
    pub fn new(compute: ComputeConfig, access: ServerAccess) -> Self {
        Self {
            compute,
            access,
            listen: (Ipv4Addr::LOCALHOST, Self::PORT).into(),
            transport: ServerTransport::Iroh { key: PathBuf::from("server.key") },
        }
    }

    /// Sets the address and port to listen on.
    pub fn with_listen(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// Sets the network protocol.
    pub fn with_transport(mut self, transport: ServerTransport) -> Self {
        self.transport = transport;
        self
    }
}
