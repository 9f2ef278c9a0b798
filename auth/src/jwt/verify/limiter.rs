//! Limits how many bad tokens of one client address are verified: verifying a signature costs more than
//! inventing one.

use std::net::IpAddr;
use std::sync::Once;
use std::time::Duration;

use tokio::time::Instant;
use tonic_call::{BoundedStore, ClientNetwork, KeySeeds, TrustedProxies};

use crate::decide::failure::{Failure, Reason};
use crate::decide::incoming::Incoming;
use crate::jwt::config::builder::AddressFn;

/// How many addresses are counted separately. The others share one count.
const MAX_ADDRESSES: usize = 16_000;

/// Refuses to verify tokens of a client address that has sent too many bad ones.
pub(crate) struct FailureLimit {
    limiter: Limiter,
    address: AddressOf,
    warned: Once,
}

/// Which address a bad token counts for.
pub(crate) enum AddressOf {
    /// The peer's, or the one that these proxies name.
    Client(TrustedProxies),
    Function(AddressFn),
}

impl FailureLimit {
    pub(crate) fn new(limiter: Limiter, address: AddressOf) -> Self {
        Self { limiter, address, warned: Once::new() }
    }

    /// The network that a bad token of this call counts for; `None` if it is not limited.
    pub(crate) fn network_of(&self, call: &Incoming<'_>) -> Option<ClientNetwork> {
        let address = match &self.address {
            AddressOf::Function(address) => address(call),
            AddressOf::Client(proxies) => proxies.client_of(call.head),
        };
        address.and_then(accountable)
    }

    pub(crate) fn check(&self, from: ClientNetwork) -> Result<(), Failure> {
        let Some(wait) = self.limiter.wait(from, Instant::now()) else { return Ok(()) };
        self.warned.call_once(|| {
            tracing::warn!(
                target: "tonic_auth_layer",
                "an address has sent too many bad tokens, its new tokens are refused: if it is a proxy, \
                 name its network (`JwtBuilder::behind`), set the client's address (`client_address`), \
                 or disable the limit (`any_failures`)",
            );
        });
        let failure = Failure::new(Reason::RateLimited, "failures");
        Err(failure.expected("fewer bad tokens").retry_after(wait))
    }

    pub(crate) fn failed(&self, from: ClientNetwork) {
        self.limiter.failed(from, Instant::now());
    }
}

/// Counts bad tokens per address: a burst at once, then one per `interval`.
pub(crate) struct Limiter {
    /// When all bad tokens of an address will be forgotten (GCRA's theoretical arrival time).
    times: BoundedStore<Instant>,
    seeds: KeySeeds,
    interval: Duration,
    /// How far ahead of now that time may be.
    burst: Duration,
}

/// The network that an address is counted with. `None` for loopback: behind a sidecar, all callers have that
/// address.
pub(crate) fn accountable(address: IpAddr) -> Option<ClientNetwork> {
    let loopback = address.to_canonical().is_loopback();
    (!loopback).then(|| ClientNetwork::of(address))
}

impl Limiter {
    /// `None` for a limit of 0.
    pub(crate) fn per_minute(failures: u32) -> Option<Self> {
        let interval = Duration::from_secs(60).checked_div(failures)?;
        let (times, seeds) = (BoundedStore::new(MAX_ADDRESSES), KeySeeds::default());
        Some(Self { times, seeds, interval, burst: interval.saturating_mul(failures) })
    }

    /// How long it takes until one more token may be verified; `None` if it may be now.
    fn wait(&self, network: ClientNetwork, now: Instant) -> Option<Duration> {
        let time = self.times.lock(self.seeds.hash(network)).get()?;
        let wait = (time + self.interval).saturating_duration_since(now + self.burst);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a bad token.
    fn failed(&self, network: ClientNetwork, now: Instant) {
        let is_expired = |time: &Instant| *time <= now;
        let mut entry = self.times.lock_or_evict(self.seeds.hash(network), is_expired);
        let time = entry.get().map_or(now, |time| time.max(now)) + self.interval;
        entry.set(time.min(now + self.burst));
        let wants_sweep = entry.wants_sweep();
        drop(entry);
        if wants_sweep {
            self.times.sweep(is_expired);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Limiter {
        fn allows(&self, network: ClientNetwork, now: Instant) -> bool {
            self.wait(network, now).is_none()
        }
    }

    fn network(text: &str) -> ClientNetwork {
        accountable(text.parse().expect("an address")).expect("not loopback")
    }

    fn numbered(n: u64) -> ClientNetwork {
        ClientNetwork::of(IpAddr::V6(u128::from(n << 20 | 1 << 63).rotate_left(64).into()))
    }

    #[test]
    fn an_address_has_so_many_at_once_and_then_one_at_a_time() {
        let limiter = Limiter::per_minute(6).expect("a limit");
        let (caller, mut now) = (network("192.0.2.1"), Instant::now());
        for n in 0..6 {
            assert!(limiter.allows(caller, now), "{n}");
            limiter.failed(caller, now);
        }
        for _ in 0..100 {
            assert!(!limiter.allows(caller, now));
            limiter.failed(caller, now);
        }
        assert!(limiter.allows(network("192.0.2.2"), now), "another address");
        now += Duration::from_secs(10);
        assert!(limiter.allows(caller, now));
        limiter.failed(caller, now);
        assert!(!limiter.allows(caller, now));
        now += Duration::from_secs(600);
        for _ in 0..6 {
            assert!(limiter.allows(caller, now));
            limiter.failed(caller, now);
        }
        assert!(!limiter.allows(caller, now));
    }

    #[test]
    fn who_is_refused_knows_how_long() {
        let limiter = Limiter::per_minute(6).expect("a limit");
        let (caller, now) = (network("192.0.2.1"), Instant::now());
        for _ in 0..6 {
            limiter.failed(caller, now);
        }
        let later = now + Duration::from_secs(3);
        assert_eq!(limiter.wait(caller, later), Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_and_loopback_is_none() {
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        for own in ["127.0.0.1", "::1", "127.8.8.8", "::ffff:127.0.0.1"] {
            assert_eq!(accountable(own.parse().expect("an address")), None, "{own}");
        }
    }

    #[test]
    fn inventing_addresses_neither_grows_the_table_nor_frees_anybody() {
        let limiter = Limiter::per_minute(2).expect("a limit");
        let (caller, now) = (network("192.0.2.1"), Instant::now());
        limiter.failed(caller, now);
        limiter.failed(caller, now);
        for n in 0..100_000_u64 {
            limiter.failed(numbered(n), now);
        }
        assert_eq!(limiter.times.usage(|time| *time <= now).keys, MAX_ADDRESSES);
        assert!(!limiter.allows(caller, now));
        assert!(!limiter.allows(numbered(200_000), now), "shares the account of the rest");
        let later = now + Duration::from_secs(61);
        assert!(limiter.allows(numbered(200_000), later));
    }

    #[test]
    fn a_limit_of_none_is_no_limiter() {
        assert!(Limiter::per_minute(0).is_none());
    }
}
