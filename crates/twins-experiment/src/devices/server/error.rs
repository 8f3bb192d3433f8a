use std::net::SocketAddr;
use std::path::PathBuf;

use crate::devices::{DeviceChoice, DeviceError, RemoteToken};
use crate::error::ExperimentError;

/// The reason why devices cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// Other machines can reach the port, and no token is required.
    #[error(
        "other machines can reach {listen}: set {} to a secret that clients have to give (`openssl rand -hex 16`), listen on 127.0.0.1, \
         or pass --anyone",
        RemoteToken::VARIABLE
    )]
    NoToken {
        /// The address to listen on.
        listen: SocketAddr,
    },
    /// The token cannot be used.
    #[error(transparent)]
    Token(#[from] DeviceError),
    /// A server has devices of one backend only.
    #[error(
        "one server cannot have the devices {devices}: they have to be all cpu, all ndarray, or all GPUs; start a server for each kind, \
         with its own --listen and --key"
    )]
    MixedBackends {
        /// The names of the devices.
        devices: String,
    },
    /// The device is that of another server.
    #[error(
        "`{device}` is the device of another server: leave it out; clients can name several servers in --device"
    )]
    RemoteDevice {
        /// The device.
        device: Box<DeviceChoice>,
    },
    /// A device cannot be opened.
    #[error(transparent)]
    Devices(#[from] Box<ExperimentError>),
    /// The file with the server's secret key cannot be used.
    #[error("the secret key in {}: {reason}; {remedy}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The port cannot be bound.
    #[error("cannot listen on {listen}: {reason}; give another address or port with --listen")]
    Listen {
        /// The address to listen on.
        listen: SocketAddr,
        /// The system's reason.
        reason: String,
    },
    /// The server failed after it had started.
    #[error("the server failed: {reason}; start it again")]
    Serving {
        /// The reason.
        reason: String,
    },
}
