//! An optional layer.

mod body;
mod future;
mod service;

use tower_layer::Layer;

pub use self::body::OptionBody;
pub use self::future::OptionFuture;
pub use self::service::OptionService;

/// Makes an optional layer, so that a setting can turn it on and off.
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
/// With `None` it forwards calls unchanged. `tower::util::option_layer` does not work for layers of tonic
/// services: it requires the same request and response types with and without the layer, but a layer has its
/// own body types. This function works wherever its layer does: in a `Server`, `named_layer`, a client channel,
/// an axum router and a `ServiceBuilder`.
///
/// Costs nothing in a tonic server or client. Where the request body is not a `tonic::body::Body`, as in an axum
/// router, it costs one box around that body.
pub fn option_layer<L>(layer: Option<L>) -> OptionLayer<L> {
    OptionLayer(layer)
}

/// An optional layer: see [`option_layer`].
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
