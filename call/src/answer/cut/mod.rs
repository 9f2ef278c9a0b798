//! Ends a call from outside.

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

/// Ends one call from outside, before or after its response head, even while the call is not being polled.
///
/// Deadlines, expired tokens, drains and stalled readers need this: HTTP stops polling a body whose reader
/// leaves no flow-control window, so such a call can't end itself. Cutting drops the inner future or body at
/// once, on the calling thread, or, if it is being polled at that moment, on the polling thread right after the
/// poll. The caller gets the status when it next reads, trailers-only or as trailers. For observers inside, the
/// call ends when it is dropped; for observers outside, when the status is read.
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
    /// Calls a service so that the call can be cut. The service must be ready.
    ///
    /// A cut also ends the request body, with the status as its error: a task spawned by the handler may still
    /// read it, and HTTP would keep the stream open. What ended the call is recorded in its [`CallInfo`], if
    /// there is one; a client layer must first [get or insert](CallInfo::get_or_insert) the one for its side.
    /// Costs four small allocations: the boxed future, tonic's box for the request body, and the state shared
    /// with each.
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

    /// Wraps a response future so that it can be cut; the request body is not affected. Costs two allocations:
    /// the boxed future and the shared state.
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

    /// Ends the call with a status. Returns whether it did: after the first cut, or after the call has ended by
    /// itself, this does nothing.
    ///
    /// A status with code `OK` ends a stream successfully. A panic in a destructor of the cut call is caught. A
    /// layer that refuses the call uses [`refuse`](Self::refuse) instead.
    pub fn cut(&self, by: EndedBy, status: Status) -> bool {
        let mut by = Some(by);
        self.0.sever(&mut |info| by.take().into_iter().for_each(|by| info.set_ended_by(by)), status)
    }

    /// Like [`cut`](Self::cut), for a layer that refuses to let the call continue. Also records the refusal in
    /// the call's [`CallInfo`], so that logs and metrics show its reason.
    pub fn refuse(&self, refusal: &Refusal, status: Status) -> bool {
        self.refuse_with(refusal, [], status)
    }

    /// Like [`refuse`](Self::refuse), and adds [fields](CallInfo::add_field) to the call's log line. Does
    /// nothing if the call has ended by itself.
    pub fn refuse_with(
        &self,
        refusal: &Refusal,
        fields: impl IntoIterator<Item = (&'static str, FieldValue)>,
        status: Status,
    ) -> bool {
        // Collected before the lock is taken: the iterator may run any code.
        let fields: Vec<_> = fields.into_iter().collect();
        let mut record = |info: &CallInfo| {
            info.add_refusal(refusal.clone());
            info.set_ended_by(EndedBy::Refusal { by: refusal.by });
            for (key, value) in &fields {
                info.add_field(*key, value.clone());
            }
        };
        self.0.sever(&mut record, status)
    }
}

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}
