//! What is held until a call is really over.

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

/// A response, and what is dropped when its call is over: a permit, a count of calls in flight.
///
/// Over is the call with a head that is the whole answer, with trailers, with data after which the body
/// says that it is at its end, or with an error: what is held is then dropped before the caller is given
/// any of these, so that it is free again for whoever sees the end. A call that is given up drops it last,
/// after what is inside, also when that panics. A panic in a poll leaves it to whoever drops the call.
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
    /// Holds something as long as the call goes on; with `None` it only passes the response on.
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
        let result = ready!(this.inner.poll(cx));
        let held = this.held.take();
        Poll::Ready(result.map(|response| {
            let held = held.filter(|_| {
                let failed = headers::code(response.headers()).is_some_and(|code| code != Code::Ok);
                !failed && !response.body().is_end_stream()
            });
            response.map(|inner| HeldBody { inner, held })
        }))
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
            // Nothing polls a body that says it is at its end.
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

/// The default of the body inside, which holds nothing.
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
