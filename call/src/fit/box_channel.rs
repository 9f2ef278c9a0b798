//! A nameable type for a layered client.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tonic::body::Body;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use crate::fit::BoxError;

/// A channel with any layers around it, as one type, so that a client of it fits in a struct.
///
/// Costs one allocation per call for the response future, one for the response body unless it is tonic's own,
/// and one per clone of the channel or of a client of it.
///
/// ```no_run
/// use tonic::transport::{Channel, Endpoint};
/// use tonic_call::BoxChannel;
/// use tower::ServiceBuilder;
/// # use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
/// # fn layered() -> tower::layer::util::Identity { tower::layer::util::Identity::new() }
///
/// struct Billing {
///     orders: OrderServiceClient<BoxChannel>,
/// }
///
/// let channel = Endpoint::from_static("http://orders.svc:8080").connect_lazy();
/// let channel = ServiceBuilder::new().layer(layered()).service(channel);
/// let billing = Billing { orders: OrderServiceClient::new(BoxChannel::new(channel)) };
/// ```
#[derive(Clone)]
pub struct BoxChannel(BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>);

impl BoxChannel {
    /// Boxes a channel, including the layers around it.
    pub fn new<S, B>(channel: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = channel
            .map_response(|response: Response<B>| response.map(Body::new))
            .map_err(Into::into);
        Self(BoxCloneSyncService::new(service))
    }
}

impl Service<Request<Body>> for BoxChannel {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = <BoxCloneSyncService<Request<Body>, Response<Body>, BoxError> as Service<
        Request<Body>,
    >>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

impl fmt::Debug for BoxChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxChannel")
    }
}
