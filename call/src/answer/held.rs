//! Holds a value until a call is over.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic::Code;

use crate::observe::headers;

/// A response future that holds a value until its call is over: a permit, or a count of calls in flight.
///
/// The call is over with a trailers-only head, with trailers, with a data frame after which the body reports
/// its end, or with an error. The value is dropped just before any of these is returned, so it is released by
/// the time the caller sees the end. If the call is dropped early, the value is dropped last, after the inner
/// future or body, even if that panics. After a panic in a poll, it is dropped with the call.
///
/// Costs no allocation.
///
/// ```
/// # use std::sync::Arc;
/// # use tonic_call::Held;
/// # use tonic_call_test_kit::Script;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let response = std::future::ready(Ok::<_, std::convert::Infallible>(Script::new().respond()));
/// let permit = Arc::new(());
/// let response = Held::new(response, Some(Arc::clone(&permit))).await;
///
/// assert_eq!(Arc::strong_count(&permit), 2); // the body is not at its end
/// drop(response);
/// assert_eq!(Arc::strong_count(&permit), 1);
/// # }
/// ```
#[pin_project]
pub struct Held<F, T> {
    // Dropped in this order.
    #[pin]
    inner: F,
    held: Option<T>,
}

impl<F, T> Held<F, T> {
    /// Holds a value until the call is over; with `None` it only forwards the response.
    pub fn new(inner: F, held: Option<T>) -> Self {
        Self { inner, held }
    }
}

impl<F, T, B, E> Future for Held<F, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<HeldBody<B, T>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = this.inner.poll(cx);
        let goes_on = match &polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(response)) => {
                let failed = headers::code(response.headers()).is_some_and(|code| code != Code::Ok);
                !failed && !response.body().is_end_stream()
            }
            Poll::Ready(Err(_)) => false,
        };
        let held = this.held.take().filter(|_| goes_on);
        polled.map_ok(|response| response.map(|inner| HeldBody { inner, held }))
    }
}

/// The body of a [`Held`] response.
#[pin_project]
pub struct HeldBody<B, T> {
    // Dropped in this order.
    #[pin]
    inner: B,
    held: Option<T>,
}

impl<B, T> Body for HeldBody<B, T>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if this.held.is_none() {
            return this.inner.poll_frame(cx);
        }
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let goes_on = match &frame {
            // A body that reports its end is not polled again.
            Some(Ok(frame)) if frame.is_data() => !this.inner.is_end_stream(),
            _ => false,
        };
        if !goes_on {
            *this.held = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The inner body's default, which holds nothing.
impl<B: Default, T> Default for HeldBody<B, T> {
    fn default() -> Self {
        Self { inner: B::default(), held: None }
    }
}

impl<F, T> fmt::Debug for Held<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("holds", &self.held.is_some()).finish()
    }
}

impl<B, T> fmt::Debug for HeldBody<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody").field("holds", &self.held.is_some()).finish()
    }
}
