use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{OptionBody, OptionFuture};
use crate::fit::{BoxError, GrpcService};

/// A service or channel with or without a layer: see [`option_layer`](super::option_layer).
#[derive(Clone, Debug)]
pub enum OptionService<On, Off> {
    /// With the layer.
    On(On),
    /// Without the layer.
    Off(Off),
}

impl<On, Off, B> Service<Request<B>> for OptionService<On, Off>
where
    On: GrpcService,
    Off: GrpcService<Error = On::Error>,
    Off::ResponseBody: Body<Error = <On::ResponseBody as Body>::Error>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<OptionBody<On::ResponseBody, Off::ResponseBody>>;
    type Error = On::Error;
    type Future = OptionFuture<On::Future, Off::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match self {
            Self::On(service) => service.poll_grpc_ready(cx),
            Self::Off(service) => service.poll_grpc_ready(cx),
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The inner service takes `tonic::body::Body`; in an axum router the body has another type.
        let request = request.map(tonic::body::Body::new);
        match self {
            Self::On(service) => OptionFuture::On(service.call_grpc(request)),
            Self::Off(service) => OptionFuture::Off(service.call_grpc(request)),
        }
    }
}

/// The name of the service, with or without the layer.
#[cfg(feature = "server")]
impl<On, Off: tonic::server::NamedService> tonic::server::NamedService for OptionService<On, Off> {
    const NAME: &'static str = Off::NAME;
}
