use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use burn::remote::EndpointId;
use burn::server::{BURN_REMOTE_ALPN, IrohIdentity, RemoteServer, ServerLogging};
use iroh::endpoint::{Accepting, Connection, IncomingAddr, QuicTransportConfig, presets};
use iroh::protocol::{AcceptError, DynProtocolHandler, ProtocolHandler, Router};
use iroh::{Endpoint, RelayMode, SecretKey};
use tokio::runtime::{Builder, Runtime};

use super::authorizer::ClientAddresses;
use super::error::ServerError;
use crate::devices::private_file::mode_open_to_others;

/// Serves over Iroh. Unlike Burn's own transport, it can listen on one address only, and knows the addresses of its clients.
pub(super) struct IrohServer {
    router: Router,
    runtime: Runtime,
    bound: SocketAddr,
}

impl IrohServer {
    pub(super) fn bind(
        key: &Path,
        listen: SocketAddr,
        server: RemoteServer,
        clients: Arc<ClientAddresses>,
    ) -> Result<Self, ServerError> {
        let secret = secret_key(key)?;
        let runtime = Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| ServerError::Serving { reason: error.to_string() })?;
        let router = runtime.block_on(async {
            // As in Burn's own endpoints: Iroh keeps sending segmented batches after the kernel refuses one (iroh#4555).
            let transport = QuicTransportConfig::builder().enable_segmentation_offload(false).build();
            let endpoint = Endpoint::builder(presets::Minimal)
                .secret_key(secret)
                .relay_mode(RelayMode::Disabled)
                .transport_config(transport)
                .clear_ip_transports()
                .bind_addr(listen.to_string())
                .map_err(|error| ServerError::Listen { listen, reason: format!("{error:#}") })?
                .bind()
                .await
                .map_err(|error| ServerError::Listen { listen, reason: format!("{error:#}") })?;
            let burn = server
                .into_protocol(&endpoint)
                .map_err(|error| ServerError::Serving { reason: error.to_string() })?;
            let handler = AddressedHandler { burn: burn.into(), clients };
            Ok::<_, ServerError>(Router::builder(endpoint).accept(BURN_REMOTE_ALPN, handler).spawn())
        })?;
        let bound = router.endpoint().bound_sockets().first().copied().unwrap_or(listen);
        Ok(Self { router, runtime, bound })
    }

    pub(super) fn id(&self) -> EndpointId {
        self.router.endpoint().id()
    }

    pub(super) const fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Serves until the process is interrupted.
    pub(super) fn serve(self) -> Result<(), ServerError> {
        let Self { router, runtime, .. } = self;
        ServerLogging::install();
        let served = runtime.block_on(async {
            let closed = router.endpoint().closed();
            let served = tokio::select! {
                interrupted = interrupt() => interrupted.map_err(|error| error.to_string()),
                () = closed => Err("the endpoint closed".to_owned()),
            };
            // Closes the connections, so that clients learn at once that the server has gone.
            let stopped = router.shutdown().await.map_err(|error| error.to_string());
            served.and(stopped)
        });
        // A session that still computes does not delay the end.
        runtime.shutdown_background();
        served.map_err(|reason| ServerError::Serving { reason })
    }
}

/// Notes the address of each client before Burn serves it.
#[derive(Debug)]
struct AddressedHandler {
    burn: Box<dyn DynProtocolHandler>,
    clients: Arc<ClientAddresses>,
}

impl ProtocolHandler for AddressedHandler {
    async fn on_accepting(&self, accepting: Accepting) -> Result<Connection, AcceptError> {
        let address = accepting.remote_addr();
        let connection = DynProtocolHandler::on_accepting(&*self.burn, accepting).await?;
        if let IncomingAddr::Ip(address) = address {
            self.clients.add(connection.remote_id(), address.ip());
        }
        Ok(connection)
    }

    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let client = connection.remote_id();
        let served = DynProtocolHandler::accept(&*self.burn, connection).await;
        self.clients.remove(client);
        served
    }

    async fn shutdown(&self) {
        DynProtocolHandler::shutdown(&*self.burn).await;
    }
}

/// Reads the secret key, or creates it in a file that only its owner can read.
fn secret_key(path: &Path) -> Result<SecretKey, ServerError> {
    let fault = |reason: String, remedy| ServerError::Key { path: path.to_owned(), reason, remedy };
    let unusable = |error: io::Error| {
        fault(error.to_string(), "give another file with --key, or delete this one to get a new key and ID")
    };
    match File::open(path) {
        Ok(file) => {
            if let Some(mode) = mode_open_to_others(&file).map_err(unusable)? {
                let reason = format!("other users may read it (mode {mode:03o})");
                return Err(fault(reason, "run `chmod 600` on the file"));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(unusable(error)),
    }
    let identity = IrohIdentity::load_or_create(path).map_err(unusable)?;
    Ok(SecretKey::from_bytes(&identity.to_bytes()))
}

/// Returns when the process is interrupted with Ctrl-C or SIGTERM.
#[cfg(unix)]
async fn interrupt() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Returns when the process is interrupted with Ctrl-C.
#[cfg(not(unix))]
async fn interrupt() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
