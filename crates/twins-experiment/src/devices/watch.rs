use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use super::device::{DeviceChoice, DeviceError};

/// The time between two probes, and the time that a server has to respond to one.
const INTERVAL: Duration = Duration::from_secs(5);

/// WebSocket connections begin with a request of HTTP. The status of the response does not matter.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: twins\r\nConnection: close\r\n\r\n";

/// The number of successive probes without a response after which a server is lost. With one, a process that was suspended during a
/// probe would give up on a healthy server.
const PROBES: usize = 4;

/// Watches servers until it is dropped. See [`watch_servers`].
#[derive(Debug)]
#[must_use = "the servers are watched until this value is dropped"]
pub struct ServerWatch {
    /// Each thread ends when its sender is dropped.
    _threads: Vec<Sender<()>>,
}

/// Watches the WebSocket servers among `devices` and calls `lost` for one that hangs, with the error to report.
///
/// Burn waits without limit for a WebSocket server that holds its connection open without responding, as a stopped process does, or
/// one behind a network that loses every packet. A read from the device cannot be cancelled, so `lost` has to end the process. It is
/// called 20 s to one minute after the server stopped responding. A server that computes for a long time responds to the probes.
///
/// Connections over Iroh need no watch: they end after 30 s without a packet, and then every read is an error.
pub fn watch_servers(
    devices: &[DeviceChoice],
    lost: impl Fn(DeviceError) + Send + Sync + 'static,
) -> ServerWatch {
    watch_every(INTERVAL, INTERVAL, devices, Arc::new(lost))
}

type OnLost = Arc<dyn Fn(DeviceError) + Send + Sync>;

fn watch_every(interval: Duration, limit: Duration, devices: &[DeviceChoice], lost: OnLost) -> ServerWatch {
    let mut threads = Vec::new();
    for device in devices {
        let DeviceChoice::Remote(address) = device else { continue };
        let Some(place) = address.websocket_place() else { continue };
        let (sender, dropped) = channel();
        let (device, lost) = (device.clone(), Arc::clone(&lost));
        thread::spawn(move || {
            if is_lost(&place, interval, limit, &dropped) {
                lost(DeviceError::Lost { device: Box::new(device) });
            }
        });
        threads.push(sender);
    }
    ServerWatch { _threads: threads }
}

/// Probes a server until it is lost, or until the sender of `dropped` is dropped.
fn is_lost(place: &str, interval: Duration, limit: Duration, dropped: &Receiver<()>) -> bool {
    // Resolved once: a name server that is down says nothing about a server whose connection is open.
    let mut addresses = Vec::new();
    let mut failed = 0;
    while failed < PROBES {
        if dropped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
            return false;
        }
        if addresses.is_empty() {
            addresses = place.to_socket_addrs().map(Vec::from_iter).unwrap_or_default();
        }
        failed = if addresses.is_empty() || responds(&addresses, limit) { 0 } else { failed + 1 };
    }
    dropped.try_recv() == Err(TryRecvError::Empty)
}

/// Whether the server responds at one of its addresses within the limit.
fn responds(addresses: &[SocketAddr], limit: Duration) -> bool {
    let ask = |address: &SocketAddr| -> std::io::Result<usize> {
        let mut stream = TcpStream::connect_timeout(address, limit)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        stream.write_all(REQUEST)?;
        stream.read(&mut [0; 16])
    };
    addresses.iter().any(|address| ask(address).is_ok_and(|n| n > 0))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn watch(listener: &TcpListener, limit: Duration) -> (ServerWatch, Receiver<DeviceError>) {
        let address = listener.local_addr().expect("it is bound");
        let device: DeviceChoice = format!("remote:ws://{address}").parse().expect("an address");
        let (sender, lost) = channel();
        let on_lost = move |error: DeviceError| sender.send(error).expect("the test waits");
        let interval = Duration::from_millis(20);
        (watch_every(interval, limit, &[DeviceChoice::Cpu, device], Arc::new(on_lost)), lost)
    }

    /// The system accepts the connections of a process that is stopped.
    #[test]
    fn a_server_that_hangs_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (_watch, lost) = watch(&listener, Duration::from_millis(20));
        let error = lost.recv_timeout(Duration::from_secs(20)).expect("it is reported").to_string();
        assert!(error.contains("remote:ws://127.0.0.1:") && error.contains("--resume"), "{error}");
    }

    #[test]
    fn a_server_that_responds_is_watched_until_the_watch_is_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (watch, lost) = watch(&listener, Duration::from_secs(20));
        // Three probes in succession fail, which is one too few to lose the server.
        for (place, stream) in listener.incoming().take(3 * PROBES).enumerate() {
            let mut stream = stream.expect("a connection");
            if place % PROBES == PROBES - 1 {
                stream.read_exact(&mut [0; REQUEST.len()]).expect("a request");
                stream.write_all(b"HTTP/1.1 404 Not Found\r\n\r\n").expect("a response");
            }
        }
        drop(watch);
        // The thread has ended, and with it the sender.
        assert!(matches!(lost.recv_timeout(Duration::from_secs(20)), Err(RecvTimeoutError::Disconnected)));
    }
}
