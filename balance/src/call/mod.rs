//! One call: the choice of a connection, and of the next one while the request was not processed.

mod connection;
mod next;

use std::sync::Arc;

use http::{Request, Response, request};
use tonic::body::Body;
use tonic::{ConnectError, Status};
use tonic_call::{
    BoxError, CallInfo, Deadline, EndedBy, GRPC_TIMEOUT, Replay, Side, format_timeout,
};
use tower::ServiceExt as _;
use tower_service::Service as _;

use self::connection::NoConnection;
pub(crate) use self::connection::{Connections, Waiting};
use self::next::{Next, next};
use crate::connect::Connection;
use crate::error_text::error_text;

/// A call before it is answered.
pub(crate) struct Call {
    connections: Connections,
    head: request::Parts,
    deadline: Option<Deadline>,
    body: Replay,
}

impl Call {
    pub(crate) fn new(connections: Connections, request: Request<Body>) -> Self {
        let (head, body) = request.into_parts();
        let deadline = Deadline::of(&head.extensions)
            .or_else(|| Deadline::from_headers(&head.headers).ok().flatten());
        let budget = connections.budget.clone();
        let body = Replay::new(body, None, Replay::DEFAULT_BYTES, budget);
        Self { connections, head, deadline, body }
    }

    /// Sends the request to one connection after the other, until a server has processed it or may have done so.
    pub(crate) async fn run(mut self) -> Result<Response<Body>, BoxError> {
        let mut was_refused = false;
        let mut failed: Option<Arc<Connection>> = None;
        loop {
            let connection = match self.connections.pick(failed.as_deref()) {
                Some(connection) => connection,
                None => match self.wait().await {
                    Ok(connection) => connection,
                    Err(NoConnection::Failed(failure)) => {
                        // As a channel fails that cannot connect, so that layers outside see the same.
                        return Err(Box::new(ConnectError(failure)));
                    }
                    Err(NoConnection::DeadlinePassed(text)) => return Ok(self.expired(text)),
                },
            };
            let error = match self.send(&connection).await {
                Ok(response) => {
                    self.body.answered();
                    return Ok(response);
                }
                Err(error) => error,
            };
            let next = next(&error, self.body.is_read());
            if let Next::SendElsewhere = next {
                let error = error_text(&error);
                connection.lifecycle.end(&format!("a call could not be sent: {error}"));
            }
            let is_allowed = match next {
                Next::SendElsewhere => true,
                // A6 repeats such a request once, and leaves the rest to the policy of a retry layer.
                Next::SendOnceMore => !std::mem::replace(&mut was_refused, true),
                Next::Fail => false,
            };
            if !is_allowed || !self.body.end_attempt() || self.body.has_failed() {
                return Err(error.into());
            }
            self.reduce_timeout();
            failed = Some(connection);
        }
    }

    async fn send(
        &self,
        connection: &Connection,
    ) -> Result<Response<Body>, tonic::transport::Error> {
        let mut channel = connection.channel.clone();
        channel.ready().await?;
        // Not before: an attempt that waits here was not sent.
        let body = Body::new(self.body.attempt());
        self.connections.hooks.picked(&connection.address);
        channel.call(Request::from_parts(self.head.clone(), body)).await
    }

    async fn wait(&mut self) -> Result<Arc<Connection>, NoConnection> {
        let connection = self.connections.wait(&self.head, self.deadline).await?;
        self.reduce_timeout();
        Ok(connection)
    }

    /// Sets `grpc-timeout` to the time that is left.
    fn reduce_timeout(&mut self) {
        if let Some(deadline) = self.deadline
            && let Some(timeout) = self.head.headers.get_mut(GRPC_TIMEOUT)
        {
            *timeout = format_timeout(deadline.remaining());
        }
    }

    fn expired(&self, message: String) -> Response<Body> {
        if let Some(info) = CallInfo::of_side(Side::Client, &self.head.extensions) {
            info.set_ended_by(EndedBy::Deadline);
        }
        Status::deadline_exceeded(message).into_http()
    }
}
