use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tonic_call_test_kit::v1::kinds_server::Kinds;
use tonic_call_test_kit::v1::{Ask, Note};

/// A service that answers at once, so that the measured cost is that of the layers around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtOnce;

/// The number of notes that a stream sends.
const NOTES: u32 = 100;

fn note(number: u32) -> Result<Note, Status> {
    Ok(Note { number, text: String::new() })
}

type Notes =
    tokio_stream::Iter<std::iter::Map<std::ops::Range<u32>, fn(u32) -> Result<Note, Status>>>;

/// Notes that come one by one: each is sent in a frame of its own, because there is not another one yet.
pub(crate) struct OneByOne {
    next: u32,
    waits: bool,
}

impl Stream for OneByOne {
    type Item = Result<Note, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waits = !self.waits;
        // tonic then sends the frame, and polls again: no waker is needed.
        if self.waits && self.next > 0 {
            return Poll::Pending;
        }
        self.waits = false;
        self.next += 1;
        Poll::Ready((self.next <= NOTES).then(|| note(self.next)))
    }
}

#[tonic::async_trait]
impl Kinds for AtOnce {
    type ServerStreamStream = Notes;
    type BidiStreamStream = OneByOne;

    async fn unary(&self, _: Request<Ask>) -> Result<Response<Note>, Status> {
        note(0).map(Response::new)
    }

    async fn peek(&self, _: Request<Ask>) -> Result<Response<Note>, Status> {
        note(0).map(Response::new)
    }

    async fn client_stream(&self, _: Request<Streaming<Ask>>) -> Result<Response<Note>, Status> {
        note(0).map(Response::new)
    }

    async fn server_stream(&self, _: Request<Ask>) -> Result<Response<Notes>, Status> {
        Ok(Response::new(tokio_stream::iter((0..NOTES).map(note as fn(u32) -> _))))
    }

    async fn bidi_stream(&self, _: Request<Streaming<Ask>>) -> Result<Response<OneByOne>, Status> {
        Ok(Response::new(OneByOne { next: 0, waits: false }))
    }
}
