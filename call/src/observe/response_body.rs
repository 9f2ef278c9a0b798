use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};

use super::Call;
use super::watch::Watch;
use crate::observe::End;
use crate::observe::body_reader::BodyReader;
use crate::observe::error_code::failure;
use crate::show::ErrorChain;

/// The response body of an [`Observe`](super::Observe) service.
#[pin_project(PinnedDrop)]
pub struct ResponseBody<B, C: Call> {
    /// `None` during the drop, which runs in the call's scope, and in the empty body made by `default`.
    #[pin]
    inner: Option<B>,
    watch: Option<Watch<C>>,
    reader: BodyReader,
}

impl<B, C: Call> ResponseBody<B, C> {
    pub(super) fn watched(inner: B, headers: &HeaderMap, watch: Watch<C>) -> Self {
        Self { inner: Some(inner), watch: Some(watch), reader: BodyReader::of(headers) }
    }

    pub(super) fn unwatched(inner: B) -> Self {
        Self { inner: Some(inner), watch: None, reader: BodyReader::default() }
    }
}

impl<B, C> Body for ResponseBody<B, C>
where
    B: Body<Data = Bytes>,
    B::Error: Display + 'static,
    C: Call,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(watch) = this.watch else { return inner.poll_frame(cx) };
        let frame = ready!(watch.scope(|| inner.poll_frame(cx)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watch.data(this.reader, data);
                    // A body that reports its end is not polled again.
                    if this.inner.as_pin_mut().is_some_and(|inner| inner.is_end_stream()) {
                        watch.over();
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    watch.trailers(trailers);
                }
            }
            Some(Err(error)) => {
                let (code, by) = failure(error, watch.side());
                watch.end(End::Error { code, by, error: &ErrorChain(error) });
            }
            None => watch.over(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[pinned_drop]
impl<B, C: Call> PinnedDrop for ResponseBody<B, C> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Some(watch) = this.watch {
            watch.scope(|| this.inner.set(None));
        }
    }
}

/// An empty body that is not watched. Generated clients with an interceptor require `Default`.
impl<B, C: Call> Default for ResponseBody<B, C> {
    fn default() -> Self {
        Self { inner: None, watch: None, reader: BodyReader::default() }
    }
}

impl<B, C: Call> fmt::Debug for ResponseBody<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
