//! How many bad tokens one address may have looked at: a signature costs more to verify than to
//! invent.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Duration;

use rustc_hash::FxBuildHasher;
use tokio::time::Instant;
use tonic_call::{ClientNetwork, TrustedProxies};

use crate::decide::failure::{Failure, Reason};
use crate::decide::incoming::Incoming;
use crate::jwt::config::builder::AddressFn;

/// How many parts the table has.
const SHARDS: usize = 16;

/// How many addresses a part has at most. Those that find no room share one account.
const ADDRESSES_AT_MOST: usize = 1_000;

/// Refuses to verify tokens of a client address that has sent too many bad ones.
pub(crate) struct FailureLimit {
    limiter: Limiter,
    address: AddressOf,
    warned: Once,
}

/// Which address is charged for a bad token.
pub(crate) enum AddressOf {
    /// The peer's, or the one that these proxies name.
    Client(TrustedProxies),
    Function(AddressFn),
}

impl FailureLimit {
    pub(crate) fn new(limiter: Limiter, address: AddressOf) -> Self {
        Self { limiter, address, warned: Once::new() }
    }

    /// The network that is charged if the call's token is bad; `None` if it is not limited.
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
                "an address has sent too many bad tokens, and is refused what is not remembered as \
                 good: if it is a proxy's, name its network (`JwtBuilder::behind`), say which address \
                 is the caller's (`client_address`), or turn the limit off (`any_failures`)",
            );
        });
        let failure = Failure::new(Reason::RateLimited, "failures");
        Err(failure.expected("fewer bad tokens").retry_after(wait))
    }

    pub(crate) fn failed(&self, from: ClientNetwork) {
        self.limiter.failed(from, Instant::now());
    }
}

/// Bad tokens by address. An address may have `burst` of them at once, and then one each `each`.
#[derive(Debug)]
pub(crate) struct Limiter {
    shards: [Mutex<Shard>; SHARDS],
    each: Duration,
    /// How far ahead of the time an account may be.
    burst: Duration,
}

/// For each address when all that it had is forgotten (GCRA's theoretical arrival time).
#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<ClientNetwork, Instant>,
    others: Option<Instant>,
    swept: Option<Instant>,
}

/// Whose bad tokens are counted together. `None` for loopback: behind a sidecar all callers have that
/// address.
pub(crate) fn accountable(address: IpAddr) -> Option<ClientNetwork> {
    let loopback = address.to_canonical().is_loopback();
    (!loopback).then(|| ClientNetwork::of(address))
}

impl Limiter {
    /// `None` for a limit of nothing.
    pub(crate) fn per_minute(failures: u32) -> Option<Self> {
        let each = Duration::from_secs(60).checked_div(failures)?;
        Some(Self { shards: Default::default(), each, burst: each.saturating_mul(failures) })
    }

    /// How long it is until one more may be looked at; `None` if it may be now.
    pub(crate) fn wait(&self, network: ClientNetwork, now: Instant) -> Option<Duration> {
        let shard = self.shard(network);
        let account = shard
            .accounts
            .get(&network)
            .copied()
            .or_else(|| shard.others.filter(|_| shard.accounts.len() >= ADDRESSES_AT_MOST));
        let wait = (account? + self.each).saturating_duration_since(now + self.burst);
        (!wait.is_zero()).then_some(wait)
    }

    /// One was bad.
    pub(crate) fn failed(&self, network: ClientNetwork, now: Instant) {
        let mut shard = self.shard(network);
        let later = |until: Option<Instant>| {
            let until = until.map_or(now, |until| until.max(now)) + self.each;
            until.min(now + self.burst)
        };
        if let Some(until) = shard.accounts.get_mut(&network) {
            *until = later(Some(*until));
            return;
        }
        // A sweep takes a while: not for each of those who find no room.
        let due = shard.swept.is_none_or(|swept| swept + self.each <= now);
        if shard.accounts.len() >= ADDRESSES_AT_MOST && due {
            shard.accounts.retain(|_, until| *until > now);
            shard.swept = Some(now);
        }
        if shard.accounts.len() < ADDRESSES_AT_MOST {
            shard.accounts.insert(network, later(None));
        } else {
            shard.others = Some(later(shard.others));
        }
    }

    fn shard(&self, network: ClientNetwork) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[FxBuildHasher.hash_one(network) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
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
        let sizes =
            limiter.shards.iter().map(|shard| shard.lock().expect("no panic").accounts.len());
        assert!(sizes.max() <= Some(ADDRESSES_AT_MOST));
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
