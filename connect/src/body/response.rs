use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

use super::ResponseStream;

/// The response body of a [`Connect`](crate::Connect) service: the inner body, or its translation.
#[pin_project]
pub struct ResponseBody<B> {
    #[pin]
    kind: Kind<B>,
}

#[pin_project(project = KindProjection)]
enum Kind<B> {
    Untouched(#[pin] B),
    Whole(Option<Bytes>),
    Stream(#[pin] ResponseStream<B>),
}

impl<B> ResponseBody<B> {
    pub(crate) fn untouched(body: B) -> Self {
        Self { kind: Kind::Untouched(body) }
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())) }
    }

    pub(crate) fn stream(stream: ResponseStream<B>) -> Self {
        Self { kind: Kind::Stream(stream) }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Untouched(body) => body.poll_frame(cx),
            KindProjection::Whole(bytes) => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            KindProjection::Stream(stream) => {
                stream.poll_envelope(cx).map(|data| data.map(Frame::data).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Untouched(body) => body.is_end_stream(),
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Stream(stream) => stream.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Untouched(body) => body.size_hint(),
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// An empty body.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { kind: Kind::Whole(None) }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Untouched(_) => "ResponseBody::Untouched",
            Kind::Whole(_) => "ResponseBody::Whole",
            Kind::Stream(_) => "ResponseBody::Stream",
        })
    }
}
