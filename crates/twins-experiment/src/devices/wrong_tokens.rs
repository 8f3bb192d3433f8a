//! Counts wrong tokens, so that guessing takes time.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// The number of wrong tokens within [`PERIOD`] after which a client's tokens are refused for another `PERIOD`.
pub(super) const LIMIT: u32 = 10;
pub(super) const PERIOD: Duration = Duration::from_secs(60);

/// The number of networks that are counted separately, which bounds the memory. The others are counted together.
const NETWORKS: usize = 4096;

/// The wrong tokens of each network: an IPv4 address, or the first half of an IPv6 address, because a client can choose the second
/// half. Clients without a known address are counted together.
#[derive(Debug, Default)]
pub(super) struct WrongTokens(HashMap<Option<IpAddr>, Times>);

/// The times of the latest wrong tokens, the earliest first, and at most [`LIMIT`].
#[derive(Debug, Default)]
struct Times(VecDeque<Instant>);

impl Times {
    fn add(&mut self, now: Instant) {
        let is_old = |time: &Instant| now.saturating_duration_since(*time) >= PERIOD;
        while self.reach_limit() || self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    fn reach_limit(&self) -> bool {
        self.0.len() >= LIMIT as usize
    }

    fn are_over(&self, now: Instant) -> bool {
        self.0.back().is_none_or(|last| now.saturating_duration_since(*last) >= PERIOD)
    }
}

impl WrongTokens {
    /// Whether tokens of this client are refused, right ones too.
    pub(super) fn refuses(&self, client: Option<IpAddr>, now: Instant) -> bool {
        let times = self.0.get(&self.key(client));
        times.is_some_and(|times| times.reach_limit() && !times.are_over(now))
    }

    /// Counts a wrong token. Returns whether it is the one from which on the client is refused.
    pub(super) fn count(&mut self, client: Option<IpAddr>, now: Instant) -> bool {
        self.0.retain(|_, times| !times.are_over(now));
        let key = self.key(client);
        let times = self.0.entry(key).or_default();
        let was_refused = times.reach_limit();
        times.add(now);
        !was_refused && times.reach_limit()
    }

    fn key(&self, client: Option<IpAddr>) -> Option<IpAddr> {
        let network = client.map(network);
        let is_separate = self.0.contains_key(&network) || self.0.len() < NETWORKS;
        network.filter(|_| is_separate)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn ten_wrong_tokens_within_a_minute_refuse_their_client_for_a_minute() {
        let mut wrong = WrongTokens::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (guesser, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for place in 1..=10_u32 {
            assert!(!wrong.refuses(guesser, start + place * second));
            assert_eq!(wrong.count(guesser, start + place * second), place == 10);
        }
        // The refusal lasts a minute from the last wrong token.
        assert!(wrong.refuses(guesser, start + 69 * second));
        assert!(!wrong.refuses(guesser, start + 70 * second));
        for unaffected in [other, address("2001:db8::1"), None] {
            assert!(!wrong.refuses(unaffected, start + 11 * second), "{unaffected:?}");
        }
        // Afterwards the count begins anew.
        for place in 0..9_u32 {
            assert!(!wrong.count(guesser, start + (71 + place) * second));
        }
    }

    #[test]
    fn a_minute_may_begin_at_any_time() {
        let mut wrong = WrongTokens::default();
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        // The first one is more than a minute before the last, and the other ten are within six seconds.
        for (place, at) in [0_u32, 55, 55, 55, 55, 55, 55, 55, 55, 61, 61].into_iter().enumerate() {
            assert_eq!(wrong.count(None, start + at * second), place == 10, "{place}");
        }
        assert!(wrong.refuses(None, start + 120 * second) && !wrong.refuses(None, start + 121 * second));
    }

    #[test]
    fn wrong_tokens_now_and_then_are_no_guessing() {
        let mut wrong = WrongTokens::default();
        let start = Instant::now();
        for place in 0..100_u32 {
            let now = start + place * Duration::from_secs(7);
            assert!(!wrong.count(None, now) && !wrong.refuses(None, now));
        }
    }

    #[test]
    fn addresses_that_one_client_can_choose_count_together() {
        let mut wrong = WrongTokens::default();
        let now = Instant::now();
        for place in 0..LIMIT {
            wrong.count(address(&format!("2001:db8:1:2::{place:x}")), now);
        }
        assert!(wrong.refuses(address("2001:db8:1:2:ffff::"), now));
        assert!(!wrong.refuses(address("2001:db8:1:3::"), now));
        for _ in 0..LIMIT {
            wrong.count(address("::ffff:192.0.2.1"), now);
        }
        assert!(wrong.refuses(address("192.0.2.1"), now));
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut wrong = WrongTokens::default();
        let now = Instant::now();
        let clients = 0..2 * NETWORKS as u32;
        for client in clients {
            wrong.count(Some(Ipv4Addr::from_bits(client).into()), now);
        }
        // The networks beyond are counted together, as one.
        assert_eq!(wrong.0.len(), NETWORKS + 1);
        assert!(wrong.refuses(address("255.255.255.255"), now));
        assert!(!wrong.refuses(address("0.0.0.1"), now));
        wrong.count(None, now + PERIOD);
        assert_eq!(wrong.0.len(), 1);
    }
}
