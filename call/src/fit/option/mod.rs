//! A layer that is there, or is not.

mod body;
mod future;
mod service;

use tower_layer::Layer;

pub use self::body::OptionBody;
pub use self::future::OptionFuture;
pub use self::service::OptionService;

/// Makes a layer of an optional one, which a setting turns on and off.
///
/// ```
/// use tonic_call::{ObserveLayer, option_layer};
/// # use tonic_call_test_kit::{KindsService, Recorder, v1::kinds_server::KindsServer};
/// # let (print, order_service) = (Recorder::new(), KindsServer::new(KindsService::default()));
/// # let with_print = false;
///
/// let server = tonic::transport::Server::builder()
///     .layer(option_layer(with_print.then(|| ObserveLayer::server(print))))
///     .add_service(order_service);
/// ```
///
/// With `None` it hands calls on as they are. `tower::util::option_layer` does not fit layers for tonic: it
/// asks both sides for the same request and response types, and a layer's bodies are its own. This one fits
/// wherever its layer does: a `Server`, `named_layer`, a client channel, an axum router and a
/// `ServiceBuilder`.
///
/// Costs the box around a request's body where that is not `tonic::body::Body` yet, as it is not on the
/// outside of a server, and nothing else.
pub fn option_layer<L>(layer: Option<L>) -> OptionLayer<L> {
    OptionLayer(layer)
}

/// A layer that is there, or is not: see [`option_layer`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OptionLayer<L>(Option<L>);

impl<L> From<Option<L>> for OptionLayer<L> {
    fn from(layer: Option<L>) -> Self {
        Self(layer)
    }
}

impl<S, L: Layer<S>> Layer<S> for OptionLayer<L> {
    type Service = OptionService<L::Service, S>;

    fn layer(&self, inner: S) -> Self::Service {
        match &self.0 {
            Some(layer) => OptionService::On(layer.layer(inner)),
            None => OptionService::Off(inner),
        }
    }
}
