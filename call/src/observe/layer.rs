use std::sync::Arc;

use tower_layer::Layer;

use super::{Observe, Observer, Side};
use crate::known::KnownMethods;
use crate::methods::Methods;

/// Makes a tower layer of an [`Observer`].
///
/// Clones, and the services they make, share what is learnt of the methods.
#[derive(Clone, Debug)]
pub struct ObserveLayer<O> {
    observer: O,
    side: Side,
    known: Arc<KnownMethods>,
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

    fn new(side: Side, observer: O) -> Self {
        Self { observer, side, known: Arc::new(KnownMethods::learning()) }
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
}

impl<S, O: Observer> Layer<S> for ObserveLayer<O> {
    type Service = Observe<S, O>;

    fn layer(&self, inner: S) -> Self::Service {
        Observe::new(inner, self.observer.clone(), self.side, Arc::clone(&self.known))
    }
}
