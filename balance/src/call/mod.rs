//! One call: the choice of a connection, and of the next one while the request was not processed.

mod delivery;
mod replay;

use std::sync::Arc;

use http::{Request, Response, request};
use tokio::sync::watch;
use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::{ConnectError, Status};
use tonic_call::{BoxError, CallInfo, Deadline, EndedBy, GRPC_TIMEOUT, Side, format_timeout};
use tower::ServiceExt as _;
use tower_service::Service;

use self::delivery::{Delivery, delivery};
use self::replay::Replay;
use crate::connect::Connection;
use crate::error_text::error_text;
use crate::snapshot::Snapshot;
use crate::state::Hooks;
use crate::wait_for_ready::WaitForReady;

/// How often a request is repeated that servers report as not processed. A6 repeats such a request once, and leaves
/// the rest to the policy of the retry layer; while several servers shut down, once is not enough.
const MAX_REFUSALS: u32 = 3;

/// A call before it is answered.
pub(crate) struct Call {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) hooks: Hooks,
    pub(crate) wait_for_ready: bool,
}

/// What ends a call before it is sent.
enum NotSent {
    DeadlinePassed(String),
    Failed(BoxError),
}

impl Call {
    pub(crate) async fn run(mut self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (mut head, body) = request.into_parts();
        let deadline = Deadline::of(&head.extensions)
            .or_else(|| Deadline::from_headers(&head.headers).ok().flatten());
        let body = Replay::new(body);
        let mut refusals = 0;
        loop {
            let picked = match self.pick() {
                Some(connection) => Ok(connection),
                None => self.wait(&mut head, deadline).await,
            };
            let connection = match picked {
                Ok(connection) => connection,
                Err(NotSent::Failed(error)) => return Err(error),
                Err(NotSent::DeadlinePassed(message)) => return Ok(expired(&head, message)),
            };
            self.hooks.picked(&connection.address);
            let attempt = body.attempt();
            let mut channel = connection.channel.clone();
            let sent = async {
                let channel =
                    channel.ready().await.map_err(|error| (error, Delivery::NeverSent))?;
                let request = Request::from_parts(head.clone(), Body::new(attempt));
                channel.call(request).await.map_err(|error| {
                    let delivery = delivery(&error, body.was_started());
                    (error, delivery)
                })
            };
            match sent.await {
                Ok(response) => {
                    body.commit();
                    return Ok(response);
                }
                // What was read of the request before is lost.
                Err((error, _)) if !body.is_whole() => return Err(error.into()),
                Err((error, Delivery::NeverSent)) => {
                    let error = error_text(&error);
                    connection.lifecycle.end(&format!("a call could not be sent: {error}"));
                }
                Err((_, Delivery::Refused)) if refusals < MAX_REFUSALS => refusals += 1,
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    fn pick(&self) -> Option<Arc<Connection>> {
        self.snapshots.borrow().pick().cloned()
    }

    /// Waits for a connection, and then reduces the `grpc-timeout` to the time that is left.
    async fn wait(
        &mut self,
        head: &mut request::Parts,
        deadline: Option<Deadline>,
    ) -> Result<Arc<Connection>, NotSent> {
        let waits = WaitForReady::of(&head.extensions).unwrap_or(self.wait_for_ready);
        let ready = self.ready(waits);
        let connection = match deadline {
            None => ready.await,
            Some(deadline) => match timeout_at(deadline.instant(), ready).await {
                Ok(result) => result,
                Err(_) => Err(NotSent::DeadlinePassed(self.why_not_ready())),
            },
        }?;
        if let Some(deadline) = deadline
            && let Some(timeout) = head.headers.get_mut(GRPC_TIMEOUT)
        {
            *timeout = format_timeout(deadline.remaining());
        }
        Ok(connection)
    }

    async fn ready(&mut self, waits: bool) -> Result<Arc<Connection>, NotSent> {
        loop {
            {
                let snapshot = self.snapshots.borrow_and_update();
                if let Some(connection) = snapshot.pick() {
                    return Ok(Arc::clone(connection));
                }
                if let Some(failure) = snapshot.failure()
                    && !waits
                {
                    // As a channel fails that cannot connect, so that layers outside see the same.
                    let error = ConnectError(Box::new(Arc::clone(failure)));
                    return Err(NotSent::Failed(Box::new(error)));
                }
            }
            if self.snapshots.changed().await.is_err() {
                let error = ConnectError("the balancer's runtime has shut down".into());
                return Err(NotSent::Failed(Box::new(error)));
            }
        }
    }

    fn why_not_ready(&self) -> String {
        match self.snapshots.borrow().failure() {
            Some(failure) => {
                format!("the deadline has passed while waiting for a connection: {failure}")
            }
            None => "the deadline has passed while waiting for a connection".to_owned(),
        }
    }
}

fn expired(head: &request::Parts, message: String) -> Response<Body> {
    if let Some(info) = CallInfo::of_side(Side::Client, &head.extensions) {
        info.set_ended_by(EndedBy::Deadline);
    }
    Status::deadline_exceeded(message).into_http()
}
