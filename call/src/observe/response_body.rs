use std::fmt::{self, Display};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};

use super::Call;
use super::inner::Inner;
use super::watch::Watch;
use crate::observe::End;
use crate::observe::body_reader::BodyReader;
use crate::observe::error_code::failure;
use crate::show::ErrorChain;

/// The response body of an [`Observe`](super::Observe) service.
#[pin_project(PinnedDrop)]
pub struct ResponseBody<B, C: Call> {
    #[pin]
    inner: Inner<B>,
    watch: Option<Watch<C>>,
    reader: BodyReader,
}

impl<B, C: Call> ResponseBody<B, C> {
    pub(super) fn new(inner: B, reader: BodyReader, watch: Option<Watch<C>>) -> Self {
        Self { inner: Inner::Live(inner), watch, reader }
    }

    pub(super) fn unwatched(inner: B) -> Self {
        Self::new(inner, BodyReader::default(), None)
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
        let Some(watch) = this.watch else { return this.inner.poll_frame(cx) };
        let polled = watch.scope(|| this.inner.as_mut().poll_frame(cx));
        // By reference, because a frame is large.
        let Poll::Ready(frame) = &polled else { return Poll::Pending };
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watch.data(this.reader, data);
                    // A body that reports its end is not polled again.
                    if this.inner.is_end_stream() {
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
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[pinned_drop]
impl<B, C: Call> PinnedDrop for ResponseBody<B, C> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if !this.inner.has_rest() {
            return;
        }
        match this.watch {
            Some(watch) => watch.scope(|| this.inner.drop_rest()),
            None => this.inner.drop_rest(),
        }
    }
}

/// An empty body that is not watched. Generated clients with an interceptor require `Default`.
impl<B, C: Call> Default for ResponseBody<B, C> {
    fn default() -> Self {
        Self { inner: Inner::Dropped, watch: None, reader: BodyReader::default() }
    }
}

impl<B, C: Call> fmt::Debug for ResponseBody<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
