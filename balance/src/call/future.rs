use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, request};
use tonic::body::Body;
use tonic::transport::{self, Channel, channel};
use tonic_call::BoxError;
use tower_service::Service as _;

use super::connection::Connections;
use super::sends::Sends;
use crate::connect::Connection;

/// The future of a response.
pub struct ResponseFuture {
    /// The usual call, which is answered at its first attempt: without a box, and without a task that waits.
    first: Option<First>,
    others: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

type Answer = Result<Response<Body>, BoxError>;

/// The attempt on the connection whose turn it was when the call began.
struct First {
    connection: Arc<Connection>,
    /// Until the channel of the connection is ready.
    unsent: Option<(Channel, request::Parts)>,
    response: Option<channel::ResponseFuture>,
    sends: Sends,
}

impl ResponseFuture {
    pub(crate) fn new(connections: &Arc<Connections>, request: Request<Body>) -> Self {
        let (head, body) = request.into_parts();
        let sends = Sends::new(connections, &head, body);
        match connections.pick(&[]) {
            Some(connection) => {
                let unsent = Some((connection.channels.take(), head));
                let first = First { connection, unsent, response: None, sends };
                Self { first: Some(first), others: None }
            }
            None => Self { first: None, others: Some(Box::pin(sends.run(None))) },
        }
    }
}

impl First {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, transport::Error>> {
        if let Some((channel, _)) = &mut self.unsent {
            ready!(channel.poll_ready(cx))?;
        }
        if let Some((mut channel, head)) = self.unsent.take() {
            let body = self.sends.begin(&self.connection);
            self.response = Some(channel.call(Request::from_parts(head, body)));
            self.connection.channels.give_back(channel);
        }
        match &mut self.response {
            Some(response) => Pin::new(response).poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(first) = &mut self.first {
            let result = ready!(first.poll(cx));
            if let Some(First { connection, sends, .. }) = self.first.take() {
                match result {
                    Ok(response) => return Poll::Ready(Ok(sends.answered(response))),
                    Err(error) => {
                        self.others = Some(Box::pin(sends.run(Some((connection, error)))));
                    }
                }
            }
        }
        match &mut self.others {
            Some(others) => others.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
