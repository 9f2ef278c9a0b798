use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::{Observe, Observer, Side};
use crate::method::{KnownMethods, Methods};
use crate::observe::SideCheck;

/// A tower layer that watches calls with an [`Observer`].
///
/// Clones, and the services they create, share the methods that were learned.
#[derive(Clone, Debug)]
pub struct ObserveLayer<O> {
    pub(super) observer: O,
    pub(super) side: Side,
    pub(super) known: Arc<KnownMethods>,
    pub(super) server_timeout: Option<Duration>,
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

    /// Watches the calls on this side.
    pub fn new(side: Side, observer: O) -> Self {
        Self {
            observer,
            side,
            known: Arc::new(KnownMethods::learning()),
            server_timeout: None,
            side_check: Arc::default(),
        }
    }

    /// Uses these methods as the known ones, instead of learning methods from traffic.
    #[must_use]
    pub fn methods(self, methods: &Methods) -> Self {
        self.known(Arc::new(KnownMethods::from(methods)))
    }

    /// Shares the known methods with other layers, or with the observer itself.
    #[must_use]
    pub fn known(self, known: Arc<KnownMethods>) -> Self {
        Self { known, ..self }
    }

    /// Sets the timeout that was passed to tonic's `Server::timeout`. Not set by default.
    ///
    /// tonic applies that timeout outside all layers, so that they only see a dropped call, as if the caller
    /// had left. With this setting, a call that is dropped after this time and before the response head ends as
    /// `DeadlineExceeded`, by a deadline. tonic's caller sees `Cancelled "Timeout expired"`. No effect on a
    /// client, where the channel's own timeout is visible.
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
