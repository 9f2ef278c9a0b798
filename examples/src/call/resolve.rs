//! The addresses of several servers.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tonic::codegen::http::uri::Scheme;
use tonic::transport::{Endpoint, Uri};
use tonic_balance::{Address, Balanced, BalancedBuilder};

/// The host and the port of one URL, and their addresses.
#[derive(Debug)]
struct Server {
    host: String,
    port: u16,
    addresses: Vec<Address>,
    is_failing: bool,
}

/// A channel over all addresses of these servers.
///
/// If one name cannot be resolved, its known addresses stay in use, and those of the others are updated.
pub(super) fn all_of(endpoint: Endpoint, urls: &[Uri]) -> BalancedBuilder {
    let servers: Vec<_> = urls.iter().map(Server::new).collect();
    let servers = Arc::new(Mutex::new(servers));
    Balanced::resolve(endpoint, move || {
        let servers = Arc::clone(&servers);
        async move { resolve(&mut servers.lock().await).await }
    })
}

async fn resolve(servers: &mut [Server]) -> io::Result<Vec<Address>> {
    // At the same time: one may take long to answer.
    let errors = join_all(servers.iter_mut().map(Server::resolve)).await;
    let addresses: Vec<_> =
        servers.iter().flat_map(|server| server.addresses.iter().cloned()).collect();
    match errors.into_iter().find_map(Result::err) {
        Some(error) if addresses.is_empty() => Err(error),
        _ => Ok(addresses),
    }
}

impl Server {
    fn new(url: &Uri) -> Self {
        let host = url.host().unwrap_or_default();
        // IPv6 addresses are in brackets in a URL.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let default = if url.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        Self { host, port, addresses: Vec::new(), is_failing: false }
    }

    async fn resolve(&mut self) -> io::Result<()> {
        let answer = lookup_host((&*self.host, self.port)).await.map(Iterator::collect);
        self.update(answer)
    }

    fn update(&mut self, answer: io::Result<Vec<SocketAddr>>) -> io::Result<()> {
        match answer {
            Ok(addresses) => {
                self.is_failing = false;
                self.addresses = addresses.into_iter().map(Address::Tcp).collect();
                Ok(())
            }
            Err(error) => {
                // Once, and not again every few seconds.
                if !mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(
                        host = self.host,
                        reason = %error,
                        addresses = self.addresses.len(),
                        "the name is not resolved; its known addresses stay in use"
                    );
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &'static str) -> Server {
        Server::new(&Uri::from_static(url))
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn the_addresses_are_those_of_all_servers_in_their_order() {
        let urls =
            ["http://127.0.0.2:7", "http://[::1]:8", "http://127.0.0.1", "https://127.0.0.1"];
        let expected = ["127.0.0.2:7", "[::1]:8", "127.0.0.1:80", "127.0.0.1:443"];
        let found = resolve(&mut urls.map(server)).await.expect("no name is looked up");
        assert_eq!(found, expected.map(|text| Address::Tcp(address(text))));
    }

    #[test]
    fn a_server_keeps_its_addresses_while_its_name_cannot_be_resolved() {
        let mut server = server("http://orders.example:7");
        let failure = || Err(io::Error::other("no answer"));
        assert!(server.update(failure()).is_err() && server.addresses.is_empty());
        for known in ["10.0.0.1:7", "10.0.0.2:7"] {
            let known = address(known);
            assert!(server.update(Ok(vec![known])).is_ok());
            assert!(server.update(failure()).is_err());
            assert_eq!(server.addresses, [Address::Tcp(known)]);
        }
    }
}
