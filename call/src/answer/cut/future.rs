use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tonic::Code;

use super::CutBody;
use super::state::{BoxFuture, CutState, Inner};
use crate::observe::{Protocol, headers};

/// The response future of a call that can be cut.
pub struct CutFuture<B, E> {
    /// `None` once it has moved to the response body.
    shared: Option<Arc<CutState<B, E>>>,
    /// The completed inner future, dropped together with this one.
    completed: Option<BoxFuture<B, E>>,
}

impl<B, E> CutFuture<B, E> {
    pub(super) fn new(shared: Arc<CutState<B, E>>) -> Self {
        Self { shared: Some(shared), completed: None }
    }
}

impl<B, E> Future for CutFuture<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<CutBody<B, E>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(shared) = &this.shared else {
            panic!("a `CutFuture` was polled after it had completed");
        };
        let mut polled = match shared.take(cx) {
            Ok(polled) => polled,
            Err(status) => return Poll::Ready(Ok(shared.protocol.respond(status))),
        };
        let Inner::Future(future) = &mut polled.inner else {
            panic!("a `CutFuture` was polled after it had completed or panicked");
        };
        let Poll::Ready(result) = future.as_mut().poll(cx) else {
            return match polled.put_back(false, false) {
                Some(status) => Poll::Ready(Ok(shared.protocol.respond(status))),
                None => Poll::Pending,
            };
        };
        let (result, inner, over) = match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                // A head with an error status is the whole response.
                let failed = headers::code(&head.headers).is_some_and(|code| code != Code::Ok);
                let at_end = body.is_end_stream();
                (Ok((head, at_end)), Inner::Body(body), failed || at_end)
            }
            Err(error) => (Err(error), Inner::Gone, true),
        };
        if let Inner::Future(completed) = std::mem::replace(&mut polled.inner, inner) {
            this.completed = Some(completed);
        }
        if let Some(status) = polled.put_back(over, false) {
            return Poll::Ready(Ok(shared.protocol.respond(status)));
        }
        Poll::Ready(result.map(|(head, at_end)| {
            let protocol = Protocol::of(&head.headers).unwrap_or_default();
            Response::from_parts(head, CutBody::new(this.shared.take(), at_end, protocol))
        }))
    }
}

impl<B, E> Drop for CutFuture<B, E> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

impl<B, E> fmt::Debug for CutFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutFuture")
    }
}
