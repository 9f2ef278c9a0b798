use std::mem;
use std::sync::Arc;

use http::{Response, request};
use tonic::body::Body;
use tonic::{ConnectError, Status, transport};
use tonic_call::{BoxError, EndedBy, Replay, lost_connection};
use tower::ServiceExt as _;
use tower_service::Service as _;

use super::caller::Caller;
use super::connection::{Connections, NoConnection};
use super::head::Head;
use super::next::{Next, next};
use crate::address::Address;
use crate::connect::Connection;
use crate::error_text::error_text;

/// Sends a request to one connection after the other, until a server has processed it or may have done so.
pub(super) struct Sends {
    connections: Arc<Connections>,
    caller: Caller,
    head: Head,
    body: Replay,
    /// Whether the current attempt is handed to its connection.
    has_begun: bool,
    /// Whether a server has said that it did not process the request, and is not leaving.
    was_refused: bool,
    /// The servers that did not process the request because they are leaving.
    left: Vec<Address>,
    /// The addresses that this call has failed at, the last one last.
    failed: Vec<Address>,
}

impl Sends {
    pub(super) fn new(connections: &Arc<Connections>, head: &request::Parts, body: Body) -> Self {
        let budget = connections.budget.clone();
        Self {
            connections: Arc::clone(connections),
            caller: Caller::of(&head.headers, &head.extensions),
            head: Head::of(head),
            body: Replay::new(body, None, Replay::DEFAULT_BYTES, budget),
            has_begun: false,
            was_refused: false,
            left: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// The body of an attempt on this connection, which is sent now.
    pub(super) fn begin(&mut self, connection: &Connection) -> Body {
        self.has_begun = true;
        self.connections.hooks.picked(&connection.address);
        Body::new(self.body.attempt())
    }

    pub(super) fn answered(self, response: Response<Body>) -> Response<Body> {
        self.body.answered();
        response
    }

    /// Makes the attempts after this failure, or all of them.
    pub(super) async fn run(
        mut self,
        failure: Option<(Arc<Connection>, transport::Error)>,
    ) -> Result<Response<Body>, BoxError> {
        if let Some((connection, error)) = failure {
            self.after(&connection, error)?;
        }
        loop {
            let connection = match self.connections.pick(&self.failed) {
                Some(connection) => connection,
                None => match self.connections.wait(&self.caller, self.head.uri()).await {
                    Ok(connection) => connection,
                    Err(NoConnection::Failed(failure)) => {
                        // As a channel fails that cannot connect, so that layers outside see the same.
                        return Err(Box::new(ConnectError(failure)));
                    }
                    Err(NoConnection::DeadlinePassed(text)) => return Ok(self.expired(text)),
                },
            };
            match self.send(&connection).await {
                Ok(response) => return Ok(self.answered(response)),
                Err(error) => self.after(&connection, error)?,
            }
        }
    }

    async fn send(&mut self, connection: &Connection) -> Result<Response<Body>, transport::Error> {
        let mut channel = connection.channels.take();
        channel.ready().await?;
        let body = self.begin(connection);
        channel.call(self.head.request(self.caller.deadline, body)).await
    }

    /// Notes a failed attempt. The error is that of the call, if the request can't be sent again.
    fn after(&mut self, connection: &Connection, error: transport::Error) -> Result<(), BoxError> {
        let next = match mem::take(&mut self.has_begun) {
            true => next(&error, self.body.is_read()),
            false => Next::SendElsewhere,
        };
        if let Next::SendElsewhere = next {
            let error = error_text(&error);
            connection.lifecycle.end(&format!("a call could not be sent: {error}"));
        }
        let is_allowed = match next {
            Next::SendElsewhere => true,
            // All servers may leave one after the other, each once: in a deployment. A server that does it again and
            // again must not keep a call for ever.
            Next::SendToAnother => self.has_left_once(&connection.address),
            // A6 repeats such a request once, and leaves the rest to the policy of a retry layer.
            Next::SendOnceMore => !mem::replace(&mut self.was_refused, true),
            Next::Fail => false,
        };
        if is_allowed && self.body.end_attempt() && !self.body.has_failed() {
            self.failed.retain(|address| *address != connection.address);
            self.failed.push(connection.address.clone());
            return Ok(());
        }
        match lost_connection(&error) {
            Some(mut status) => {
                status.set_source(Arc::new(error));
                Err(status.into())
            }
            None => Err(error.into()),
        }
    }

    /// Notes that this server is leaving. Returns whether this call has not met that before.
    fn has_left_once(&mut self, server: &Address) -> bool {
        let is_first = !self.left.contains(server);
        if is_first {
            self.left.push(server.clone());
        }
        is_first
    }

    fn expired(&self, message: String) -> Response<Body> {
        if let Some(info) = &self.caller.info {
            info.set_ended_by(EndedBy::Deadline);
        }
        Status::deadline_exceeded(message).into_http()
    }
}
