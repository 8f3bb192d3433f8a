use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use burn::remote::EndpointId;
use burn::server::{AuthorizationRequest, ClientId, PeerAuthorizer, TokenAuthorizer};

use crate::devices::RemoteToken;
use crate::devices::wrong_tokens::{LIMIT, PERIOD, WrongTokens};
use crate::notice::{Notice, Notify};

/// Admits clients with the token, and refuses those that guess. Burn calls it for each session before it says anything about the devices.
///
/// Burn's [`TokenAuthorizer`] compares BLAKE3 digests of the tokens in constant time, so the time tells nothing about the token.
pub(super) struct LimitedAuthorizer {
    token: TokenAuthorizer,
    wrong: Mutex<WrongTokens>,
    clients: Arc<ClientAddresses>,
    notify: Notify,
}

impl LimitedAuthorizer {
    /// Creates the authorizer for a token whose length was checked.
    pub(super) fn new(token: &RemoteToken, clients: Arc<ClientAddresses>, notify: Notify) -> Self {
        let token = TokenAuthorizer::new(token.secret()).expect("its length was checked");
        Self { token, wrong: Mutex::default(), clients, notify }
    }
}

impl PeerAuthorizer for LimitedAuthorizer {
    fn authorize(&self, request: AuthorizationRequest<'_>) -> Result<(), String> {
        let client = request.client;
        let address = match client {
            ClientId::Iroh(id) => self.clients.of(id),
            ClientId::WebSocket(address) => Some(address.ip()),
        };
        let now = Instant::now();
        // Held during the comparison, so that simultaneous requests do not get past the limit.
        let mut wrong = lock(&self.wrong);
        if wrong.refuses(address, now) {
            return Err(format!("{client} is refused for a minute because of too many wrong tokens"));
        }
        let outcome = self.token.authorize(request);
        if outcome.is_err() && wrong.count(address, now) {
            let from = address.map_or("clients without a known address".to_owned(), |ip| ip.to_string());
            let seconds = PERIOD.as_secs();
            drop(wrong);
            (self.notify)(Notice::Warning(format!(
                "{LIMIT} wrong tokens from {from}: refusing every token from there for {seconds} s"
            )));
        }
        outcome
    }
}

/// The addresses of the clients that are connected over Iroh, and the number of their connections. Their IDs do not identify them, because a
/// client can choose a new one for each attempt.
#[derive(Debug, Default)]
pub(super) struct ClientAddresses(Mutex<HashMap<EndpointId, (IpAddr, usize)>>);

impl ClientAddresses {
    pub(super) fn add(&self, client: EndpointId, address: IpAddr) {
        let mut clients = lock(&self.0);
        let (latest, connections) = clients.entry(client).or_insert((address, 0));
        *latest = address;
        *connections += 1;
    }

    pub(super) fn remove(&self, client: EndpointId) {
        let mut clients = lock(&self.0);
        let Entry::Occupied(mut client) = clients.entry(client) else { return };
        let (_, connections) = client.get_mut();
        *connections -= 1;
        if *connections == 0 {
            client.remove();
        }
    }

    fn of(&self, client: EndpointId) -> Option<IpAddr> {
        lock(&self.0).get(&client).map(|(address, _)| *address)
    }
}

/// No code can panic while it holds one of the locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
