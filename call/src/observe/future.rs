use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use pin_project::{pin_project, pinned_drop};

use super::call_state::CallState;
use super::inner::Inner;
use super::watch::Watch;
use super::{Call, ResponseBody};
use crate::observe::End;
use crate::observe::error_code::failure;
use crate::show::ErrorChain;

/// The response future of an [`Observe`](super::Observe) service.
#[pin_project(PinnedDrop)]
pub struct ResponseFuture<F, C: Call> {
    #[pin]
    inner: Inner<F>,
    /// `None` once it has moved to the response body.
    watch: Option<Watch<C>>,
    /// The call in whose scope the future is polled and dropped; `None` if the call is not watched.
    state: Option<Arc<CallState<C>>>,
}

impl<F, C: Call> ResponseFuture<F, C> {
    pub(super) fn watched(inner: F, watch: Watch<C>) -> Self {
        Self { inner: Inner::Live(inner), state: Some(watch.state()), watch: Some(watch) }
    }

    pub(super) fn unwatched(inner: F) -> Self {
        Self { inner: Inner::Live(inner), watch: None, state: None }
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
        let this = self.project();
        let Some(state) = this.state else {
            let response = ready!(this.inner.poll(cx))?;
            return Poll::Ready(Ok(response.map(ResponseBody::unwatched)));
        };
        let result = ready!(state.scope(|| this.inner.poll(cx)));
        // Polled again, `inner` has panicked.
        let Some(mut watch) = this.watch.take() else { return Poll::Pending };
        Poll::Ready(match result {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                let reader = watch.responded(&mut head, body.is_end_stream());
                let body = ResponseBody::watched(body, reader, watch);
                Ok(Response::from_parts(head, body))
            }
            Err(error) => {
                let (code, by) = failure(&error, watch.side());
                watch.end(End::Error { code, by, error: &ErrorChain(&error) });
                Err(error)
            }
        })
    }
}

#[pinned_drop]
impl<F, C: Call> PinnedDrop for ResponseFuture<F, C> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if let Some(state) = this.state
            && this.inner.has_rest()
        {
            state.scope(|| this.inner.as_mut().drop_rest());
        }
    }
}

impl<F, C: Call> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
