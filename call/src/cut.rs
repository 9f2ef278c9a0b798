//! Ending a call from outside.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use crate::answer::AnswerBody;

/// Ends one call from outside, before or after its head, even while nobody polls it.
///
/// Deadlines, expired tokens, drains and stalled readers all need it: HTTP does not poll a body
/// whose reader leaves no window, so what must end then is ended from here. The inner future or
/// body is dropped at once, on the thread that cuts; the caller gets the status, trailers-only or
/// as trailers, as soon as it reads. Observers outside end when that is taken.
///
/// ```
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tonic::{body::Body, Status};
/// # use tower::{Service, service_fn};
/// use tonic_call::Cut;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// # let mut inner = service_fn(|_: Request<Body>| async {
/// #     std::future::pending::<Result<Response<Body>, Infallible>>().await
/// # });
/// # let request = Request::new(Body::empty());
/// let (cut, response) = Cut::around(inner.call(request));
///
/// // Somewhere else, later:
/// cut.cut(Status::unavailable("the server is stopping"));
///
/// assert_eq!(response.await?.headers()["grpc-status"], "14");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cut(Arc<dyn Severable>);

trait Severable: Send + Sync {
    fn sever(&self, status: Status) -> bool;
}

impl Cut {
    /// Makes a call that can be cut. It costs two small allocations.
    pub fn around<F, B, E>(response: F) -> (Self, CutFuture<B, E>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        E: 'static,
    {
        let call = Arc::new(Call::new(Box::pin(response)));
        (Self(Arc::clone(&call) as Arc<dyn Severable>), CutFuture { call: Some(call) })
    }

    /// Ends the call with a status; says whether it did. The first cut counts: after it, and after
    /// the call has ended by itself, another does nothing.
    ///
    /// A panic in dropping what was cut ends here.
    pub fn cut(&self, status: Status) -> bool {
        self.0.sever(status)
    }
}

/// One call, shared by whoever polls it and whoever may cut it.
struct Call<B, E>(Mutex<State<B, E>>);

struct State<B, E> {
    inner: Inner<B, E>,
    /// Says how the call was cut, until the caller was told.
    verdict: Option<Status>,
    /// Wakes whoever polls.
    waker: Option<Waker>,
}

enum Inner<B, E> {
    Future(BoxFuture<B, E>),
    Body(B),
    /// It is being polled, outside the lock.
    Polling,
    /// It has ended, or was cut.
    Gone,
}

type BoxFuture<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<B, E> Call<B, E> {
    fn new(future: BoxFuture<B, E>) -> Self {
        Self(Mutex::new(State { inner: Inner::Future(future), verdict: None, waker: None }))
    }

    fn state(&self) -> MutexGuard<'_, State<B, E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be polled, unless the call was cut.
    fn take(&self, cx: &Context<'_>) -> Result<Inner<B, E>, Status> {
        let mut state = self.state();
        if let Some(status) = state.verdict.take() {
            return Err(status);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Ok(match state.inner {
            Inner::Gone => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Polling),
        })
    }

    /// Gives back what was polled, or says that it has ended. If the call was cut meanwhile, it is
    /// dropped here, and with `take_verdict` so is the caller told.
    fn give(&self, inner: Inner<B, E>, take_verdict: bool) -> Option<Status> {
        let mut state = self.state();
        if state.verdict.is_none() {
            state.inner = inner;
            return None;
        }
        state.inner = Inner::Gone;
        let verdict = if take_verdict { state.verdict.take() } else { None };
        drop(state);
        drop(inner);
        verdict
    }

    /// Drops what is inside: nobody polls it any more.
    fn close(&self) {
        let mut state = self.state();
        let inner = std::mem::replace(&mut state.inner, Inner::Gone);
        state.verdict = None;
        state.waker = None;
        drop(state);
        drop(inner);
    }
}

impl<B, E> Severable for Call<B, E>
where
    B: Send,
{
    fn sever(&self, status: Status) -> bool {
        let mut state = self.state();
        let inner = match state.inner {
            // The poll that is under way will find the verdict.
            Inner::Polling if state.verdict.is_none() => Inner::Polling,
            Inner::Polling | Inner::Gone => return false,
            Inner::Future(_) | Inner::Body(_) => std::mem::replace(&mut state.inner, Inner::Gone),
        };
        state.verdict = Some(status);
        let waker = state.waker.take();
        drop(state);
        // Timers that cut stand outside any recovery layer.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(inner)));
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

/// The response of a call that can be cut.
pub struct CutFuture<B, E> {
    /// `None` once the body holds it.
    call: Option<Arc<Call<B, E>>>,
}

impl<B, E> Future for CutFuture<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Output = Result<Response<CutBody<B, E>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = &self.call else {
            panic!("a `CutFuture` was polled after it had completed");
        };
        let mut future = match call.take(cx) {
            Ok(Inner::Future(future)) => future,
            Ok(_) => panic!("a `CutFuture` was polled after it had panicked"),
            Err(status) => return Poll::Ready(Ok(status.into_http())),
        };
        let Poll::Ready(result) = future.as_mut().poll(cx) else {
            return match call.give(Inner::Future(future), true) {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => Poll::Pending,
            };
        };
        drop(future);
        let (head, inner) = match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                (Ok(head), Inner::Body(body))
            }
            Err(error) => (Err(error), Inner::Gone),
        };
        if let Some(status) = call.give(inner, true) {
            return Poll::Ready(Ok(status.into_http()));
        }
        let body = CutBody { call: self.call.take(), trailers: AnswerBody::empty() };
        Poll::Ready(head.map(|head| Response::from_parts(head, body)))
    }
}

impl<B, E> Drop for CutFuture<B, E> {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.close();
        }
    }
}

/// The response body of a call that can be cut.
pub struct CutBody<B, E> {
    call: Option<Arc<Call<B, E>>>,
    /// What is sent once the call was cut.
    trailers: AnswerBody<B>,
}

impl<B, E> Body for CutBody<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        let Some(call) = &this.call else { return Pin::new(&mut this.trailers).poll_frame(cx) };
        let mut body = match call.take(cx) {
            Ok(Inner::Body(body)) => body,
            Ok(_) => return Poll::Ready(None),
            Err(status) => return this.told(&status, cx),
        };
        let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(cx) else {
            return match call.give(Inner::Body(body), true) {
                Some(status) => this.told(&status, cx),
                None => Poll::Pending,
            };
        };
        let data = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        let inner = if data && !body.is_end_stream() { Inner::Body(body) } else { Inner::Gone };
        // A message that came through before the cut still goes out; the trailers follow.
        if let Some(status) = call.give(inner, !data) {
            return this.told(&status, cx);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let Some(call) = &self.call else { return self.trailers.is_end_stream() };
        let state = call.state();
        match &state.inner {
            Inner::Body(body) => body.is_end_stream(),
            _ => state.verdict.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let Some(call) = &self.call else { return self.trailers.size_hint() };
        match &call.state().inner {
            Inner::Body(body) => body.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl<B, E> CutBody<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    fn told(
        &mut self,
        status: &Status,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.call = None;
        self.trailers = AnswerBody::trailers(status);
        Pin::new(&mut self.trailers).poll_frame(cx)
    }
}

impl<B, E> Drop for CutBody<B, E> {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            call.close();
        }
    }
}

/// An empty body: generated clients with an interceptor ask for it.
impl<B, E> Default for CutBody<B, E> {
    fn default() -> Self {
        Self { call: None, trailers: AnswerBody::empty() }
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}

impl<B, E> fmt::Debug for CutFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutFuture")
    }
}

impl<B, E> fmt::Debug for CutBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutBody")
    }
}
