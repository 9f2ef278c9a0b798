use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use http::{Request, Response};
use tonic::body::Body;
use tonic::transport::Endpoint;
use tonic_call::BoxError;
use tower_service::Service;

use crate::call::{Connections, ResponseFuture};
use crate::discover::{Change, Source, lookup};
use crate::{Address, BalancedBuilder, State};

/// A channel that sends each call to one of several servers. Clones share everything, and are cheap.
///
/// The page of this crate has examples. When the last clone is dropped, and its last call has its answer, all tasks
/// end, and the connections close after their running streams.
#[derive(Clone)]
pub struct Balanced(pub(crate) Arc<Connections>);

impl Balanced {
    /// All addresses of the host in the endpoint's URI, as the operating system resolves it: again every 30 seconds,
    /// and when a connection fails or is lost, but at most every 5 seconds. If that fails or gives no address, those
    /// that are known stay in use, a WARN event reports it, and the name is resolved again after 5 seconds.
    ///
    /// The port is that of the URI, or else 443 for `https` and 80 for any other scheme.
    ///
    /// In Kubernetes, use the name of a headless service. The name of another service has one virtual address.
    pub fn host(endpoint: Endpoint) -> BalancedBuilder {
        let resolve = lookup(endpoint.uri());
        BalancedBuilder::new(endpoint, Source::Resolve(resolve))
    }

    /// All addresses that a function returns. It is called when [`host`](Self::host) would resolve the name. Use it with
    /// another DNS client, or with a service registry.
    ///
    /// An error, an empty answer and a panic keep the addresses that are known. The function is called again only after
    /// its future has ended, so give the future a time limit of its own.
    pub fn resolve<F, R>(endpoint: Endpoint, mut resolve: F) -> BalancedBuilder
    where
        F: FnMut() -> R + Send + 'static,
        R: Future<Output = io::Result<Vec<Address>>> + Send + 'static,
    {
        let resolve = Box::new(move || Box::pin(resolve()) as Pin<Box<_>>);
        BalancedBuilder::new(endpoint, Source::Resolve(resolve))
    }

    /// These addresses, for ever. The endpoint's URI gives the `:authority` of calls, and the name in the server's
    /// certificate; its port is not used. An address that is there twice is used once. Without any address, calls fail
    /// with `UNAVAILABLE`.
    pub fn list<A: Into<Address>>(
        endpoint: Endpoint,
        addresses: impl IntoIterator<Item = A>,
    ) -> BalancedBuilder {
        let addresses = addresses.into_iter().map(Into::into).collect();
        BalancedBuilder::new(endpoint, Source::List(addresses))
    }

    /// The addresses of your own service discovery, as a stream of changes. Calls wait for the first change. When the
    /// stream ends, the addresses stay, and a WARN event reports it.
    pub fn discover(
        endpoint: Endpoint,
        changes: impl Stream<Item = Change> + Send + 'static,
    ) -> BalancedBuilder {
        BalancedBuilder::new(endpoint, Source::Changes(Box::pin(changes)))
    }

    /// The state of each address, in the order of the list. Empty before the first answer of the discovery.
    pub fn states(&self) -> Vec<(Address, State)> {
        self.0.snapshots.borrow().states.clone()
    }
}

impl Service<Request<Body>> for Balanced {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = ResponseFuture;

    /// Always ready: a call waits for a connection itself, so that its deadline counts.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        ResponseFuture::new(&self.0, request)
    }
}

impl fmt::Debug for Balanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Balanced").field("states", &self.states()).finish_non_exhaustive()
    }
}
