use std::fmt;
use std::str::FromStr;

use super::device::DeviceError;
use super::remote_token::RemoteToken;

/// The address of a device that another machine serves, as printed by `twins serve` after `remote:`.
///
/// | form | transport |
/// |---|---|
/// | `iroh://ID@HOST:PORT` | Iroh, directly to that UDP port without relays: encrypted, and ID authenticates the server |
/// | `ws://HOST:PORT` | WebSocket: unencrypted, for one machine or a trusted network |
///
/// `#N` at the end selects the server's device number N, counted from 0; without it, the first device is used. An IPv6 address is written
/// in brackets.
///
/// ```
/// use twins_experiment::RemoteAddress;
///
/// let address: RemoteAddress = "ws://gpu-box:3000#1".parse()?;
/// assert_eq!(address.to_string(), "ws://gpu-box:3000#1");
/// # Ok::<(), twins_experiment::DeviceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteAddress {
    transport: Transport,
    /// A name, an IPv4 address, or an IPv6 address in brackets.
    host: String,
    port: u16,
    index: usize,
    token: Option<RemoteToken>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Transport {
    WebSocket,
    Iroh { id: String },
}

impl RemoteAddress {
    /// Sets the token for a server that requires one. It is not part of the printed address. Without it, the token is
    /// [that of the environment](RemoteToken::from_environment).
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(RemoteToken::new(token));
        self
    }

    /// The host and port of a server over WebSocket; `None` over Iroh.
    pub(super) fn websocket_place(&self) -> Option<String> {
        matches!(self.transport, Transport::WebSocket).then(|| format!("{}:{}", self.host, self.port))
    }
}

impl FromStr for RemoteAddress {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let fault = |reason: &str| DeviceError::Address { text: text.to_owned(), reason: reason.to_owned() };
        let (place, index) = match text.split_once('#') {
            Some((place, index)) => {
                // Burn keeps 16 bits of it.
                let number: u16 =
                    index.parse().map_err(|_| fault(&format!("`{index}` is no device number")))?;
                (place, usize::from(number))
            }
            None => (text, 0),
        };
        let (transport, place) = if let Some(place) = place.strip_prefix("ws://") {
            (Transport::WebSocket, place)
        } else if let Some(place) = place.strip_prefix("iroh://") {
            let (id, place) = place.split_once('@').ok_or_else(|| fault("the server's ID is missing"))?;
            (Transport::Iroh { id: id.to_owned() }, place)
        } else {
            return Err(fault("it begins with neither ws:// nor iroh://"));
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(|| fault("the port is missing"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let name = bare.unwrap_or(host);
        if name.is_empty() || name.contains(['/', '@', '[', ']']) {
            return Err(fault(&format!("`{host}` is no host")));
        }
        if bare.is_none() && host.contains(':') {
            return Err(fault("an IPv6 address must stand in brackets"));
        }
        let port =
            port.parse().ok().filter(|&p| p > 0).ok_or_else(|| fault(&format!("`{port}` is no port")))?;
        Ok(Self { transport, host: host.to_owned(), port, index, token: None })
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Transport::WebSocket => f.write_str("ws://")?,
            Transport::Iroh { id } => write!(f, "iroh://{id}@")?,
        }
        write!(f, "{}:{}", self.host, self.port)?;
        if self.index == 0 { Ok(()) } else { write!(f, "#{}", self.index) }
    }
}

#[cfg(feature = "remote")]
mod connect {
    use std::net::ToSocketAddrs;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::Duration;

    use burn::remote::{ConnectError, EndpointId, IrohHost, IrohRelays, RemoteHost};
    use burn::tensor::Device;

    use super::{RemoteAddress, RemoteToken, Transport};
    use crate::devices::device::{DeviceChoice, DeviceError};

    /// Burn retries for 16 s if the port is closed, but without limit if packets are lost or there is no answer.
    const LIMIT: Duration = Duration::from_secs(30);

    const START: &str = "start `twins serve` there, see that no firewall is between, or use `--device cpu`";
    const TOKEN: &str = "set TWINS_REMOTE_TOKEN to the token that the server was started with, or TWINS_REMOTE_TOKEN_FILE to a file \
                         with it; after ten wrong tokens, a server refuses an address for a minute";

    impl RemoteAddress {
        /// Opens a session, which stays open until the process ends.
        pub(crate) fn open(&self) -> Result<Device, DeviceError> {
            let mut host = self.host()?;
            let token = match &self.token {
                Some(token) => Some(token.clone()),
                None => RemoteToken::from_environment()?,
            };
            if let Some(token) = token {
                host = host.with_credential(token.secret());
            }
            let options = Device::remote_options(&host).device_index(self.index);
            let (sender, receiver) = channel();
            // If the network does not answer, the thread outlives the limit, because Burn's call cannot be cancelled.
            thread::spawn(move || {
                // After the limit, there is no receiver.
                let _ = sender.send(options.init());
            });
            match receiver.recv_timeout(LIMIT) {
                Ok(Ok(device)) => Ok(device),
                Ok(Err(error)) => {
                    let remedy = match &error {
                        ConnectError::Unauthorized => TOKEN,
                        ConnectError::NoSuchDevice { .. } => {
                            "leave `#N` out, or give the number of one of the devices that the server printed"
                        }
                        ConnectError::IncompatibleProtocol { .. } => {
                            "build both programs with the same version of Burn"
                        }
                        _ => START,
                    };
                    Err(self.unavailable(error.to_string(), remedy))
                }
                Err(_) => Err(self.unavailable(format!("no answer within {LIMIT:?}"), START)),
            }
        }

        fn host(&self) -> Result<RemoteHost, DeviceError> {
            let Transport::Iroh { id } = &self.transport else {
                return Ok(RemoteHost::websocket(&format!("ws://{}:{}", self.host, self.port)));
            };
            let id: EndpointId = id.parse().map_err(|error| DeviceError::Address {
                text: self.to_string(),
                reason: format!("`{id}` is no server's ID ({error})"),
            })?;
            let place = format!("{}:{}", self.host, self.port);
            let addresses = place.to_socket_addrs().map_err(|error| {
                self.unavailable(format!("{place}: {error}"), "give the server's name or its IP address")
            })?;
            let host = IrohHost::new(id).with_relays(IrohRelays::Disabled);
            Ok(RemoteHost::iroh(addresses.fold(host, IrohHost::with_address)))
        }

        fn unavailable(&self, reason: String, remedy: &'static str) -> DeviceError {
            DeviceError::Unavailable { device: Box::new(DeviceChoice::Remote(self.clone())), reason, remedy }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in [
            "ws://127.0.0.1:3000",
            "ws://gpu-box.lan:80#3",
            "ws://[::1]:3000",
            "iroh://abc@127.0.0.1:4433#1",
            "iroh://abc@[fe80::1]:4433",
        ] {
            assert_eq!(text.parse::<RemoteAddress>().expect(text).to_string(), text);
        }
        let first: RemoteAddress = "ws://gpu:3000#0".parse().expect("the first device");
        assert_eq!(first.to_string(), "ws://gpu:3000");
    }

    #[test]
    fn a_token_is_not_printed() {
        let address: RemoteAddress = "ws://gpu:3000".parse().expect("an address");
        let address = address.with_token("hush");
        assert!(!format!("{address} {address:?}").contains("hush"));
    }

    #[test]
    fn faults_are_told_with_the_address_and_the_forms() {
        for (text, fault) in [
            ("gpu:3000", "neither ws:// nor iroh://"),
            ("wss://gpu:3000", "neither ws:// nor iroh://"),
            ("ws://gpu", "the port is missing"),
            ("ws://:3000", "`` is no host"),
            ("ws://[]:3000", "`[]` is no host"),
            ("ws://gpu:3000/session", "`3000/session` is no port"),
            ("ws://gpu:0", "`0` is no port"),
            ("ws://gpu:70000", "`70000` is no port"),
            ("ws://::1:3000", "in brackets"),
            ("ws://user@gpu:3000", "`user@gpu` is no host"),
            ("ws://gpu:3000#x", "`x` is no device number"),
            ("ws://gpu:3000#65536", "`65536` is no device number"),
            ("iroh://gpu:4433", "the server's ID is missing"),
        ] {
            let error = text.parse::<RemoteAddress>().expect_err(text).to_string();
            assert!(error.contains(&format!("`remote:{text}`")) && error.contains(fault), "{error}");
            assert!(error.contains("remote:ws://HOST:PORT"), "{error}");
        }
    }
}
