//! Trailers of calls that succeed: tonic's generated servers have no way to set them.

use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::metadata::MetadataMap;

/// Trailers of a response, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Trailers(pub(crate) MetadataMap);

/// Adds the [`Trailers`] of a response to those of its body.
pub(crate) fn send<B>(mut response: Response<B>) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let trailers = response.extensions_mut().remove::<Trailers>();
    let mut trailers = trailers.map(|Trailers(trailers)| trailers.into_headers());
    response.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut status) => {
                status.extend(trailers.take().unwrap_or_default());
                Frame::trailers(status)
            }
            Err(frame) => frame,
        }))
    })
}
