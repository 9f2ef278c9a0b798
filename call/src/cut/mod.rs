//! Ending a call from outside.

mod request_body;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::{Code, Status};

use self::request_body::{Gate, RequestBody};
use crate::answer::trailers_of;
use crate::headers;
use crate::info::{CallInfo, EndedBy};
use crate::service::{BoxError, GrpcService};
use crate::unwind::drop_caught;

/// Ends one call from outside, before or after its head, even while nobody polls it.
///
/// Deadlines, expired tokens, drains and stalled readers all need it: HTTP does not poll a body
/// whose reader leaves no window, so what must end then is ended from here. The inner future or
/// body is dropped at once, on the thread that cuts; if it is being polled at that moment, by its
/// poller as soon as the poll returns. The caller gets the status, trailers-only or as trailers, as
/// soon as it reads. Observers inside end when the call is dropped, those outside when the status
/// is taken.
///
/// ```
/// # use std::convert::Infallible;
/// # use http::{Request, Response};
/// # use tonic::{body::Body, Status};
/// # use tower::service_fn;
/// use tonic_call::{Cut, EndedBy};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Infallible> {
/// # let mut inner = service_fn(|_: Request<Body>| async {
/// #     std::future::pending::<Result<Response<Body>, Infallible>>().await
/// # });
/// # let request = Request::new(Body::empty());
/// let (cut, response) = Cut::call(&mut inner, request);
///
/// // Somewhere else, later:
/// cut.cut(EndedBy::Deadline, Status::deadline_exceeded("the deadline has passed"));
///
/// assert_eq!(response.await?.headers()["grpc-status"], "4");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cut(Arc<dyn Severable>);

trait Severable: Send + Sync {
    fn sever(&self, by: EndedBy, status: Status) -> bool;
}

impl Cut {
    /// Calls a service, which must be ready, so that the call can be cut.
    ///
    /// Its request then ends too, with the status as its error: a task that a handler has spawned may
    /// read it, and HTTP would keep the stream open for that. The call's [`CallInfo`], if there is
    /// one, is told what ended it. Costs four small allocations: the boxed future, tonic's box for the
    /// request body, and what is shared with each.
    pub fn call<S, B>(
        service: &mut S,
        request: Request<B>,
    ) -> (Self, CutFuture<S::ResponseBody, S::Error>)
    where
        S: GrpcService,
        S::Future: Send + 'static,
        S::ResponseBody: Unpin,
        S::Error: 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let info = CallInfo::of(request.extensions()).cloned();
        let gate = Arc::new(Gate::default());
        let requests = Arc::clone(&gate);
        let request = request.map(|body| tonic::body::Body::new(RequestBody::new(body, requests)));
        Self::new(service.call_grpc(request), info, Some(gate))
    }

    /// Makes a response that can be cut, where the request is none of its business. Costs two
    /// allocations: the boxed future, and what is shared.
    pub fn around<F, B, E>(response: F, info: Option<CallInfo>) -> (Self, CutFuture<B, E>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        E: 'static,
    {
        Self::new(response, info, None)
    }

    fn new<F, B, E>(
        response: F,
        info: Option<CallInfo>,
        gate: Option<Arc<Gate>>,
    ) -> (Self, CutFuture<B, E>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        E: 'static,
    {
        let state = State { inner: Inner::Future(Box::pin(response)), over: false, verdict: None };
        let waker = AtomicWaker::new();
        let shared = Arc::new(Shared { state: Mutex::new(state), waker, gate, info });
        let cut = Self(Arc::clone(&shared) as Arc<dyn Severable>);
        (cut, CutFuture { shared: Some(shared), completed: None })
    }

    /// Ends the call with a status; says whether it did. The first cut counts: after it, and after
    /// the call has ended by itself, another does nothing.
    ///
    /// A status that says `OK` ends a stream well. A panic in dropping what was cut ends here.
    pub fn cut(&self, by: EndedBy, status: Status) -> bool {
        self.0.sever(by, status)
    }
}

/// One call, shared by whoever polls it and whoever may cut it.
///
/// Nothing that is not ours runs under the lock: not a poll, and no destructor.
struct Shared<B, E> {
    state: Mutex<State<B, E>>,
    /// Wakes whoever polls.
    waker: AtomicWaker,
    /// Where the requests come through.
    gate: Option<Arc<Gate>>,
    info: Option<CallInfo>,
}

struct State<B, E> {
    inner: Inner<B, E>,
    /// The call has ended by itself, or has panicked, although what is left of it is still here.
    over: bool,
    /// How the call was cut, until the caller was told.
    verdict: Option<Status>,
}

enum Inner<B, E> {
    Future(BoxFuture<B, E>),
    Body(B),
    /// It is being polled, outside the lock.
    Polling,
    Gone,
}

type BoxFuture<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<B, E> Shared<B, E> {
    fn state(&self) -> MutexGuard<'_, State<B, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be polled, unless the call was cut.
    fn take(&self, cx: &Context<'_>) -> Result<Polled<'_, B, E>, Status> {
        // Before the look at the verdict: whoever cuts after it wakes this one.
        self.waker.register(cx.waker());
        let mut state = self.state();
        if let Some(status) = state.verdict.take() {
            state.over = true;
            return Err(status);
        }
        let inner = match state.inner {
            Inner::Gone => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Polling),
        };
        Ok(Polled { shared: self, inner })
    }

    /// Whether the caller is still to be told that the call was cut.
    fn is_cut(&self) -> bool {
        self.state().verdict.is_some()
    }

    /// Drops what is inside: nobody polls it any more.
    fn close(&self) {
        let mut state = self.state();
        state.over = true;
        let left = (std::mem::replace(&mut state.inner, Inner::Gone), state.verdict.take());
        drop(state);
        drop(left);
    }
}

/// What a poll of a body gave, and whether nothing comes after it.
type Polling<B> = (Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>, bool);

impl<B, E> Shared<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// Polls the body; the error is what the caller is told, now that the call was cut.
    fn poll_body(&self, cx: &mut Context<'_>) -> Result<Polling<B>, Status> {
        let mut polled = self.take(cx)?;
        let Inner::Body(body) = &mut polled.inner else { return Ok((Poll::Ready(None), true)) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let data = matches!(&frame, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        let over = if data { body.is_end_stream() } else { frame.is_ready() };
        // A message that came through before the cut still goes out; the trailers follow.
        match polled.give_back(over, data) {
            Some(status) => Err(status),
            None => Ok((frame, over)),
        }
    }
}

impl<B: Send, E> Severable for Shared<B, E> {
    fn sever(&self, by: EndedBy, status: Status) -> bool {
        let mut state = self.state();
        if state.over || state.verdict.is_some() {
            return false;
        }
        let inner = match &state.inner {
            // The poll that is under way will find the verdict.
            Inner::Polling => Inner::Gone,
            _ => std::mem::replace(&mut state.inner, Inner::Gone),
        };
        let told = self.gate.as_ref().map(|_| status.clone());
        state.verdict = Some(status);
        // Before anything inside is dropped: what observes there asks what ended the call.
        if let Some(info) = &self.info {
            info.set_ended_by(by);
        }
        drop(state);
        // Timers that cut stand outside any recovery layer.
        drop_caught(inner);
        if let (Some(gate), Some(status)) = (&self.gate, told) {
            gate.close(status);
        }
        self.waker.wake();
        true
    }
}

/// What is inside, out of the lock for one poll.
struct Polled<'a, B, E> {
    shared: &'a Shared<B, E>,
    inner: Inner<B, E>,
}

impl<B, E> Polled<'_, B, E> {
    /// Gives it back, with whether the call is now over. If it was cut meanwhile, it is dropped
    /// instead, and the caller is told: now, or with `later` at the next poll.
    fn give_back(mut self, over: bool, later: bool) -> Option<Status> {
        let inner = std::mem::replace(&mut self.inner, Inner::Gone);
        let mut state = self.shared.state();
        if state.verdict.is_none() {
            state.inner = inner;
            state.over = over;
            return None;
        }
        state.over = true;
        state.inner = Inner::Gone;
        let verdict = if later { None } else { state.verdict.take() };
        drop(state);
        drop(inner);
        verdict
    }
}

/// A poll that unwinds leaves here what it polled: never polled again, and dropped not now, while a
/// panic unwinds, but by whoever catches it and drops the call.
impl<B, E> Drop for Polled<'_, B, E> {
    fn drop(&mut self) {
        if !matches!(self.inner, Inner::Gone) {
            let mut state = self.shared.state();
            state.over = true;
            state.inner = std::mem::replace(&mut self.inner, Inner::Gone);
        }
    }
}

/// The response of a call that can be cut.
pub struct CutFuture<B, E> {
    /// `None` once the body holds it.
    shared: Option<Arc<Shared<B, E>>>,
    /// The inner future once it has completed, to be dropped with this one.
    completed: Option<BoxFuture<B, E>>,
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
            Err(status) => return Poll::Ready(Ok(status.into_http())),
        };
        let Inner::Future(future) = &mut polled.inner else {
            panic!("a `CutFuture` was polled after it had completed or panicked");
        };
        let Poll::Ready(result) = future.as_mut().poll(cx) else {
            return match polled.give_back(false, false) {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => Poll::Pending,
            };
        };
        let (result, inner, over) = match result {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let over = body.is_end_stream() || is_error(&head.headers);
                (Ok((head, body.is_end_stream())), Inner::Body(body), over)
            }
            Err(error) => (Err(error), Inner::Gone, true),
        };
        if let Inner::Future(completed) = std::mem::replace(&mut polled.inner, inner) {
            this.completed = Some(completed);
        }
        if let Some(status) = polled.give_back(over, false) {
            return Poll::Ready(Ok(status.into_http()));
        }
        Poll::Ready(result.map(|(head, at_end)| {
            let body = CutBody { shared: this.shared.take(), at_end };
            Response::from_parts(head, body)
        }))
    }
}

/// Whether a head says that the call has failed: it is then the whole answer.
fn is_error(headers: &HeaderMap) -> bool {
    headers::find(headers, &Status::GRPC_STATUS)
        .is_some_and(|status| Code::from_bytes(status.as_bytes()) != Code::Ok)
}

impl<B, E> Drop for CutFuture<B, E> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

/// The response body of a call that can be cut.
pub struct CutBody<B, E> {
    /// `None` once the caller was told that the call was cut.
    shared: Option<Arc<Shared<B, E>>>,
    at_end: bool,
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
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        match shared.poll_body(cx) {
            Ok((frame, over)) => {
                self.at_end = over;
                frame
            }
            Err(status) => {
                self.shared = None;
                Poll::Ready(Some(Ok(Frame::trailers(trailers_of(&status)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.shared {
            Some(shared) => self.at_end && !shared.is_cut(),
            None => true,
        }
    }

    /// Not known, even if the inner body knows it: a cut changes it.
    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<B, E> Drop for CutBody<B, E> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

/// An empty body: that of an answer in the head alone.
impl<B, E> Default for CutBody<B, E> {
    fn default() -> Self {
        Self { shared: None, at_end: true }
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
