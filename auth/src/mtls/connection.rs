//! The certificates of a connection, and what was computed from them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::Extensions;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// The certificates that a client has presented, its own first.
pub(crate) type Chain = Arc<Vec<CertificateDer<'static>>>;

/// tonic exports the name of this type, `TlsConnectInfo<IO::ConnectInfo>`, only with TLS features of its own.
type Info<IO> = <TlsStream<IO> as Connected>::ConnectInfo;

/// The certificates that the server has verified; `None` if the client has presented none, or without TLS.
pub(crate) fn client_certificates(extensions: &Extensions) -> Option<Chain> {
    if let Some(info) = extensions.get::<Info<TcpStream>>() {
        return info.peer_certs().filter(|chain| !chain.is_empty());
    }
    #[cfg(unix)]
    if let Some(info) = extensions.get::<Info<tokio::net::UnixStream>>() {
        return info.peer_certs().filter(|chain| !chain.is_empty());
    }
    None
}

/// Values computed once per connection from the certificates of its client. Bounded.
///
/// All requests of a connection share the `Arc` of the chain. The address of a chain identifies it as long as a
/// `Weak` is held, because the allocation is not reused before. The certificates themselves are freed when the
/// connection ends.
pub(crate) struct ByConnection<T> {
    shards: [Mutex<Shard<T>>; SHARDS],
}

type Shard<T> = HashMap<usize, (Weak<Vec<CertificateDer<'static>>>, T)>;

/// Concurrent calls rarely wait for each other.
const SHARDS: usize = 16;

/// The maximum number of connections per shard.
const PER_SHARD: usize = 512;

impl<T: Clone> ByConnection<T> {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// The value of that chain, and whether it was computed before.
    pub(crate) fn get(&self, chain: &Chain, compute: impl FnOnce(&Chain) -> T) -> (T, bool) {
        let address = Arc::as_ptr(chain).addr();
        // The lowest bits are equal, because allocations are aligned.
        let shard = &self.shards[(address >> 5) % SHARDS];
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = lock().get(&address).filter(|(held, _)| is_of(held, chain)) {
            return (value.clone(), true);
        }
        let value = compute(chain);
        let mut known = lock();
        if known.len() >= PER_SHARD {
            known.retain(|_, (held, _)| held.strong_count() > 0);
            // More open connections than places: their values are computed again.
            if known.len() >= PER_SHARD {
                known.clear();
            }
        }
        known.insert(address, (Arc::downgrade(chain), value.clone()));
        (value, false)
    }
}

fn is_of(held: &Weak<Vec<CertificateDer<'static>>>, chain: &Chain) -> bool {
    std::ptr::eq(held.as_ptr(), Arc::as_ptr(chain))
}

impl<T> fmt::Debug for ByConnection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByConnection")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u32) -> Chain {
        Arc::new(vec![CertificateDer::from(n.to_be_bytes().to_vec())])
    }

    fn first(chain: &Chain) -> Vec<u8> {
        chain[0].to_vec()
    }

    #[test]
    fn the_value_of_a_connection_is_computed_once() {
        let known = ByConnection::new();
        let (a, b) = (chain(1), chain(1));
        assert_eq!(known.get(&a, first), (vec![0, 0, 0, 1], false));
        assert_eq!(known.get(&a, |_| panic!("it is known")), (vec![0, 0, 0, 1], true));
        assert!(!known.get(&b, first).1, "another connection");
    }

    /// Guards against: a new connection at the address of a closed one that gets its identity.
    #[test]
    fn a_closed_connection_never_lends_its_value_to_a_new_one() {
        let known = ByConnection::new();
        for n in 0..50_000 {
            let chain = chain(n);
            assert_eq!(known.get(&chain, first), (n.to_be_bytes().to_vec(), false));
        }
    }

    #[test]
    fn the_number_of_remembered_connections_is_bounded() {
        let known = ByConnection::new();
        let open: Vec<_> = (0..20_000).map(chain).collect();
        for chain in &open {
            known.get(chain, first);
        }
        let lens = known.shards.iter().map(|shard| shard.lock().expect("no panic").len());
        let lens = lens.collect::<Vec<_>>();
        assert!(lens.iter().all(|len| (1..=PER_SHARD).contains(len)), "{lens:?}");
        for (n, chain) in (0_u32..).zip(&open) {
            assert_eq!(known.get(chain, first).0, n.to_be_bytes());
        }
    }
}
