use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Streaming};
use tonic_call::{BoxChannel, EndedBy, MethodKind};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Act, Ask, Note};
use tonic_call_test_kit::{KINDS, Outcome, ask, read as read_notes};

use super::raw::{Answer, Raw, read, read_rest};

/// A call of a kind, and where it is when its deadline passes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) kind: MethodKind,
    pub(crate) expires: Expires,
}

/// Where a call is when its deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expires {
    BeforeTheHead,
    BetweenMessages,
    WhileTheCallerReadsNothing,
    WhileTheStreamIsAlwaysReady,
    Never,
}

use Expires::*;

const PLACES: [Expires; 5] = [
    BeforeTheHead,
    BetweenMessages,
    WhileTheCallerReadsNothing,
    WhileTheStreamIsAlwaysReady,
    Never,
];

/// The message of our server.
pub(crate) const SERVERS_MESSAGE: &str = "the caller's deadline has passed";

impl Cell {
    /// The cells that make sense: a unary call has no two messages, and HTTP takes a single response at once,
    /// whether the caller reads it or not.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let cells = PLACES.into_iter().flat_map(|expires| KINDS.map(|kind| Self { kind, expires }));
        cells.filter(|cell| match cell.expires {
            BetweenMessages => cell.kind != MethodKind::Unary,
            WhileTheCallerReadsNothing | WhileTheStreamIsAlwaysReady => {
                !cell.kind.has_one_response()
            }
            _ => true,
        })
    }

    pub(crate) fn timeout(self) -> Duration {
        if self.expires == Never { Duration::from_secs(60) } else { Duration::from_millis(120) }
    }

    /// How much of a response the caller takes before it reads.
    pub(crate) fn window(self) -> u32 {
        if self.expires == WhileTheCallerReadsNothing { 1_024 } else { 1 << 20 }
    }

    /// Whether the handler's response must be held, since this kind's handler responds at once.
    pub(crate) fn holds_head(self) -> bool {
        self.expires == BeforeTheHead && !self.kind.has_one_response()
    }

    pub(crate) fn ending(self) -> (Code, EndedBy) {
        match self.expires {
            Never => (Code::Ok, EndedBy::Service),
            _ => (Code::DeadlineExceeded, EndedBy::Deadline),
        }
    }

    /// The number of messages that the caller gets, where it is certain.
    pub(crate) fn messages(self) -> Option<usize> {
        match (self.expires, self.kind.has_one_response()) {
            (WhileTheStreamIsAlwaysReady | WhileTheCallerReadsNothing, _) => None,
            (BeforeTheHead, _) | (BetweenMessages, true) => Some(0),
            (BetweenMessages, false) => Some(2),
            (Never, true) => Some(1),
            (Never, false) => Some(3),
        }
    }

    fn ask(self) -> Ask {
        match self.expires {
            BeforeTheHead => ask(Act::Hang, 0),
            BetweenMessages => ask(Act::Hang, 2),
            WhileTheCallerReadsNothing | WhileTheStreamIsAlwaysReady => {
                Ask { text: "x".repeat(1_000), ..ask(Act::Unspecified, u32::MAX) }
            }
            Never => ask(Act::Unspecified, 3),
        }
    }

    /// Whether the caller does not end its request.
    fn keeps_sending(self) -> bool {
        match self.kind {
            MethodKind::ClientStream => self.expires == BetweenMessages,
            MethodKind::BidiStream => self.expires != Never,
            _ => false,
        }
    }

    /// Makes the call without a timer. A caller that reads nothing waits for `ended`, and reads then.
    pub(crate) async fn call_raw(self, address: SocketAddr, ended: impl Future) -> Answer {
        let raw = Raw::with_window(address, self.window()).await;
        let timeout = format!("{}m", self.timeout().as_millis());
        let mut call = raw.begin(self.kind, &[&timeout]).await;
        call.send(&self.ask(), !self.keeps_sending());
        if self.expires == WhileTheCallerReadsNothing {
            let body = call.response.await.unwrap().into_body();
            ended.await;
            return read_rest(body).await.unwrap();
        }
        read(call.response).await.unwrap()
    }

    /// Makes the call with tonic's client; with `sets_timeout`, the deadline is the request's.
    pub(crate) async fn call(
        self,
        kinds: &mut KindsClient<BoxChannel>,
        sets_timeout: bool,
        ended: impl Future,
    ) -> Outcome {
        let timeout = sets_timeout.then(|| self.timeout());
        let (sender, asks) = mpsc::channel(1);
        let asks = ReceiverStream::new(asks);
        sender.send(self.ask()).await.unwrap();
        let sender = Some(sender).filter(|_| self.keeps_sending());
        let answer = match self.kind {
            MethodKind::Unary => kinds.unary(request(self.ask(), timeout)).await.map(one),
            MethodKind::ClientStream => kinds.client_stream(request(asks, timeout)).await.map(one),
            MethodKind::ServerStream => {
                kinds.server_stream(request(self.ask(), timeout)).await.map(many)
            }
            MethodKind::BidiStream => kinds.bidi_stream(request(asks, timeout)).await.map(many),
        };
        let outcome = match answer {
            Err(status) => {
                let message = status.message().to_owned();
                Outcome { notes: 0, code: status.code(), message }
            }
            Ok(None) => Outcome::ok(1),
            Ok(Some(notes)) => {
                if self.expires == WhileTheCallerReadsNothing {
                    ended.await;
                }
                read_notes(notes).await
            }
        };
        drop(sender);
        outcome
    }
}

fn one(_: Response<Note>) -> Option<Streaming<Note>> {
    None
}

fn many(notes: Response<Streaming<Note>>) -> Option<Streaming<Note>> {
    Some(notes.into_inner())
}

fn request<T>(message: T, timeout: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}
