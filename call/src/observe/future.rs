use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project::{pin_project, pinned_drop};

use super::call_state::CallState;
use super::inner::Inner;
use super::watch::Watch;
use super::{Call, ResponseBody};
use crate::observe::End;
use crate::observe::body_reader::BodyReader;
use crate::observe::error_code::failure;
use crate::show::ErrorChain;

/// The response future of an [`Observe`](super::Observe) service.
#[pin_project(PinnedDrop)]
pub struct ResponseFuture<F, C: Call> {
    #[pin]
    inner: Inner<F>,
    /// `None` once it has moved to the response body, or if the call is not watched.
    watch: Option<Watch<C>>,
    /// The call of a future that has completed, and whose destructor has panicked.
    panicked: Option<Arc<CallState<C>>>,
}

impl<F, C: Call> ResponseFuture<F, C> {
    pub(super) fn watched(inner: F, watch: Watch<C>) -> Self {
        Self { inner: Inner::Live(inner), watch: Some(watch), panicked: None }
    }

    pub(super) fn unwatched(inner: F) -> Self {
        Self { inner: Inner::Live(inner), watch: None, panicked: None }
    }
}

impl<F, C, B, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    C: Call,
    B: Body<Data = Bytes>,
    E: Display + 'static,
{
    type Output = Result<Response<ResponseBody<B, C>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(watch) = this.watch else {
            return this.inner.poll(cx).map_ok(|response| response.map(ResponseBody::unwatched));
        };
        // Read by reference, because a response is large.
        let mut polled = watch.scope(|| this.inner.as_mut().poll(cx));
        let reader = match &mut polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(response)) => {
                let (status, at_end) = (response.status(), response.body().is_end_stream());
                watch.responded(status, response.headers_mut(), at_end)
            }
            Poll::Ready(Err(error)) => {
                let (code, by) = failure(error, watch.side());
                watch.end(End::Error { code, by, error: &ErrorChain(error) });
                BodyReader::default()
            }
        };
        *this.panicked = this.inner.has_rest().then(|| watch.state());
        let watch = this.watch.take();
        polled.map_ok(|response| response.map(|body| ResponseBody::new(body, reader, watch)))
    }
}

#[pinned_drop]
impl<F, C: Call> PinnedDrop for ResponseFuture<F, C> {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if !this.inner.has_rest() {
            return;
        }
        let state = this.watch.as_ref().map(Watch::state).or_else(|| this.panicked.take());
        match state {
            Some(state) => state.scope(|| this.inner.drop_rest()),
            None => this.inner.drop_rest(),
        }
    }
}

impl<F, C: Call> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
