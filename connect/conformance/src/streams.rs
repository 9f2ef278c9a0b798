//! Responses of a stream, in the order and at the pace that the request defines.

use std::time::Duration;
use std::vec;

use http::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Status, Streaming};

use crate::proto::conformance_payload::RequestInfo;
use crate::proto::{
    BidiStreamRequest, BidiStreamResponse, ConformancePayload, Error, StreamResponseDefinition,
};
use crate::{info, reply};

/// What a stream still has to send.
pub(crate) struct Replies<T> {
    data: vec::IntoIter<Vec<u8>>,
    delay: Duration,
    error: Option<Error>,
    message: fn(ConformancePayload) -> T,
    sender: mpsc::Sender<Result<T, Status>>,
    /// What the next message says of the request.
    info: Option<RequestInfo>,
    has_sent: bool,
}

impl<T: Send + 'static> Replies<T> {
    /// The responses of `definition`, and the stream that receives them. The first contains `info`.
    pub(crate) fn new(
        definition: StreamResponseDefinition,
        info: RequestInfo,
        message: fn(ConformancePayload) -> T,
    ) -> (Self, BoxStream<T>) {
        let (sender, receiver) = mpsc::channel(1);
        let replies = Self {
            data: definition.response_data.into_iter(),
            delay: Duration::from_millis(definition.response_delay_ms.into()),
            error: definition.error,
            message,
            sender,
            info: Some(info),
            has_sent: false,
        };
        (replies, Box::pin(ReceiverStream::new(receiver)))
    }

    /// Sends the next response. `false`: there is none, or the caller has left.
    async fn send_next(&mut self) -> bool {
        let Some(data) = self.data.next() else {
            return false;
        };
        sleep(self.delay).await;
        let payload = ConformancePayload { data, request_info: self.info.take() };
        self.has_sent = true;
        self.sender.send(Ok((self.message)(payload))).await.is_ok()
    }

    /// Sends what is left, and ends the stream. Without responses, the error has what is known of the request.
    pub(crate) async fn send_all(mut self) {
        while self.send_next().await {}
        if let Some(error) = self.error.take() {
            let info = self.info.as_ref().filter(|_| !self.has_sent);
            let status = reply::status(error, info, HeaderMap::new());
            self.fail(status).await;
        }
    }

    /// Ends the stream with an error. If that cannot be sent, the caller has left.
    async fn fail(self, status: Status) {
        _ = self.sender.send(Err(status)).await;
    }
}

/// A stream in both directions.
pub(crate) struct Bidi {
    pub(crate) first: Option<BidiStreamRequest>,
    pub(crate) rest: Streaming<BidiStreamRequest>,
    pub(crate) replies: Replies<BidiStreamResponse>,
}

impl Bidi {
    /// Full duplex: one response after each request. Otherwise the responses follow the last request.
    pub(crate) async fn run(mut self) {
        let full_duplex = self.first.as_ref().is_some_and(|first| first.full_duplex);
        let mut next = Ok(self.first);
        loop {
            match next {
                Ok(Some(request)) => {
                    let info = self.replies.info.get_or_insert_default();
                    info.requests.push(info::any(&request));
                }
                Ok(None) => break,
                Err(status) => return self.replies.fail(status).await,
            }
            if full_duplex && !self.replies.send_next().await {
                break;
            }
            next = self.rest.message().await;
        }
        self.replies.send_all().await;
    }
}
