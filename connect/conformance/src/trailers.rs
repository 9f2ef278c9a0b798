//! Trailers of calls that succeed: tonic's generated servers have no way to set them.

use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::body::Body;

/// Trailers of a response, in its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Trailers(pub(crate) HeaderMap);

/// Adds the [`Trailers`] of a response to those of its body.
pub(crate) fn send(mut response: Response<Body>) -> Response<Body> {
    let Some(Trailers(trailers)) = response.extensions_mut().remove::<Trailers>() else {
        return response;
    };
    let mut trailers = Some(trailers);
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
