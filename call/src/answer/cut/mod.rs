//! Ending a call from outside.

mod body;
mod future;
mod request_body;
mod state;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic::Status;

pub use self::body::CutBody;
pub use self::future::CutFuture;
use self::request_body::{Gate, RequestBody};
use self::state::{CutState, Severable};
use crate::fit::{BoxError, GrpcService};
use crate::observe::{CallInfo, EndedBy, Protocol, Refusal};
use crate::show::FieldValue;

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

impl Cut {
    /// Calls a service, which must be ready, so that the call can be cut.
    ///
    /// Its request then ends too, with the status as its error: a task that a handler has spawned may
    /// read it, and HTTP would keep the stream open for that. The call's [`CallInfo`], if there is
    /// one, is told what ended it; a layer of a client first
    /// [gets or inserts](CallInfo::get_or_insert) that of its side. Costs four small allocations: the boxed future, tonic's box for the
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
        let protocol = Protocol::of_answer(request.headers()).unwrap_or_default();
        let gate = Arc::new(Gate::default());
        let requests = Arc::clone(&gate);
        let request = request.map(|body| tonic::body::Body::new(RequestBody::new(body, requests)));
        Self::new(service.call_grpc(request), info, Some(gate), protocol)
    }

    /// Makes a response that can be cut, where the request is none of its business. Costs two
    /// allocations: the boxed future, and what is shared.
    pub fn around<F, B, E>(response: F, info: Option<CallInfo>) -> (Self, CutFuture<B, E>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        E: 'static,
    {
        Self::new(response, info, None, Protocol::Grpc)
    }

    fn new<F, B, E>(
        response: F,
        info: Option<CallInfo>,
        gate: Option<Arc<Gate>>,
        protocol: Protocol,
    ) -> (Self, CutFuture<B, E>)
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        E: 'static,
    {
        let shared = Arc::new(CutState::new(Box::pin(response), info, gate, protocol));
        (Self(Arc::clone(&shared) as Arc<dyn Severable>), CutFuture::new(shared))
    }

    /// Ends the call with a status; says whether it did. The first cut counts: after it, and after
    /// the call has ended by itself, another does nothing.
    ///
    /// A status that says `OK` ends a stream well. A panic in dropping what was cut ends here. A layer
    /// that refuses the call says so by [`refuse`](Self::refuse).
    pub fn cut(&self, by: EndedBy, status: Status) -> bool {
        let mut by = Some(by);
        self.0.sever(&mut |info| by.take().into_iter().for_each(|by| info.set_ended_by(by)), status)
    }

    /// Ends the call as [`cut`](Self::cut) does, as a layer that refuses to let it go on: its
    /// [`CallInfo`] is told the refusal too, so that logs and metrics name its reason.
    pub fn refuse(&self, refusal: &Refusal, status: Status) -> bool {
        self.refuse_with(refusal, [], status)
    }

    /// As [`refuse`](Self::refuse), and adds [fields](CallInfo::add_field) to the call's log line. A call that
    /// has ended by itself is left as it is.
    pub fn refuse_with(
        &self,
        refusal: &Refusal,
        fields: impl IntoIterator<Item = (&'static str, FieldValue)>,
        status: Status,
    ) -> bool {
        // Before the lock: they may be made as they are asked for.
        let fields: Vec<_> = fields.into_iter().collect();
        let mut tell = |info: &CallInfo| {
            info.add_refusal(refusal.clone());
            info.set_ended_by(EndedBy::Refusal { by: refusal.by });
            for (key, value) in &fields {
                info.add_field(*key, value.clone());
            }
        };
        self.0.sever(&mut tell, status)
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}
