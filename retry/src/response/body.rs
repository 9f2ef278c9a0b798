use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic_call::{AnswerBody, Protocol, as_error, code_of_error};

use super::watch::Watch;

/// The response body of a [`RetryChannel`](crate::RetryChannel).
#[pin_project]
pub struct ResponseBody<B> {
    #[pin]
    inner: AnswerBody<B>,
    /// `None` if there is nothing to see, or the end was seen.
    watch: Option<Box<Watch>>,
}

impl<B> ResponseBody<B> {
    pub(crate) fn new(inner: B, watch: Option<Watch>) -> Self {
        let watch = watch.filter(|watch| !watch.is_idle()).map(Box::new);
        Self { inner: AnswerBody::inner(inner), watch }
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
        let mut this = self.project();
        let Some(watch) = this.watch else { return this.inner.poll_frame(cx) };
        if let Poll::Ready(status) = watch.poll_request(cx) {
            this.inner.as_mut().end_with(Protocol::Grpc, &status);
            *this.watch = None;
            return this.inner.poll_frame(cx);
        }
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        match &frame {
            Some(Ok(data)) if data.is_data() => {
                let checked = data.data_ref().map_or(Ok(()), |data| watch.check(data));
                if let Err(status) = checked {
                    this.inner.as_mut().end_with(Protocol::Grpc, &status);
                    *this.watch = None;
                    return this.inner.poll_frame(cx);
                }
                // The end is still to come.
                return Poll::Ready(frame);
            }
            Some(Ok(last)) => {
                if let Some(trailers) = last.trailers_ref() {
                    watch.ended_with(trailers);
                }
            }
            Some(Err(error)) => {
                if let Some(error) = as_error(error) {
                    watch.ended(code_of_error(error));
                }
            }
            None => {}
        }
        *this.watch = None;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.watch {
            // A limit may end it earlier.
            Some(_) => SizeHint::default(),
            None => self.inner.size_hint(),
        }
    }
}

/// A body at its end.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self { inner: AnswerBody::default(), watch: None }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}
