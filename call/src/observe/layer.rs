use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::{Observe, Observer, Side};
use crate::method::{KnownMethods, Methods};
use crate::observe::SideCheck;

/// Makes a tower layer of an [`Observer`].
///
/// Clones, and the services they make, share what is learnt of the methods.
#[derive(Clone, Debug)]
pub struct ObserveLayer<O> {
    observer: O,
    side: Side,
    known: Arc<KnownMethods>,
    server_timeout: Option<Duration>,
    side_check: Arc<SideCheck>,
}

impl<O: Observer> ObserveLayer<O> {
    /// Watches the calls of a server.
    pub fn server(observer: O) -> Self {
        Self::new(Side::Server, observer)
    }

    /// Watches the calls of a client.
    pub fn client(observer: O) -> Self {
        Self::new(Side::Client, observer)
    }

    /// Watches the calls of that side.
    pub fn new(side: Side, observer: O) -> Self {
        Self {
            observer,
            side,
            known: Arc::new(KnownMethods::learning()),
            server_timeout: None,
            side_check: Arc::default(),
        }
    }

    /// Knows exactly these methods, instead of learning them from traffic.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares what is known of the methods with others, or with the observer itself.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        Self { known, ..self }
    }

    /// Names the time-out of the server that this layer is in: what was given to tonic's
    /// `Server::timeout`. By default none is known.
    ///
    /// That time-out stands outside all layers, which only see their call dropped, as if its caller had
    /// left. With it named, a call that is dropped when so much time has passed, and before it had the
    /// head of a response, ended `DeadlineExceeded` by a deadline; tonic's caller sees
    /// `Cancelled "Timeout expired"`. On a client it does nothing: a channel's own time-out is seen.
    #[must_use]
    pub fn server_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        let server_timeout = timeout.into().filter(|_| self.side == Side::Server);
        Self { server_timeout, ..self }
    }
}

impl<S, O: Observer> Layer<S> for ObserveLayer<O> {
    type Service = Observe<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe {
            inner,
            observer: self.observer.clone(),
            side: self.side,
            known: Arc::clone(&self.known),
            server_timeout: self.server_timeout,
            side_check: Arc::clone(&self.side_check),
        }
    }
}
