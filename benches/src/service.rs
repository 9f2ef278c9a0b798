use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use http::{Request as HttpRequest, Uri};
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tonic_call_test_kit::v1::kinds_server::{Kinds, KindsServer};
use tonic_call_test_kit::v1::{Ask, Note};
use tower::Service;

use crate::many::OTHERS;

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
        work(WORK.load(Ordering::Relaxed));
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

/// How often each unary call repeats the [work](work) of its handler.
static WORK: AtomicU32 = AtomicU32::new(0);

/// From now on, the handler of each unary call in this process works this long; see [`work`].
pub(crate) fn set_work(loops: u32) {
    WORK.store(loops, Ordering::Relaxed);
}

/// Takes a time that is proportional to `loops`, and uses no memory.
pub(crate) fn work(loops: u32) {
    let mut value = 1_u64;
    for _ in 0..loops {
        value = black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    }
}

/// The service in process. It also answers the unary methods that only the descriptors of `many` know.
#[derive(Clone, Debug)]
pub(crate) struct InProcess(KindsServer<AtOnce>);

impl InProcess {
    pub(crate) fn new() -> Self {
        Self(KindsServer::new(AtOnce))
    }
}

impl Service<HttpRequest<Body>> for InProcess {
    type Response = <KindsServer<AtOnce> as Service<HttpRequest<Body>>>::Response;
    type Error = <KindsServer<AtOnce> as Service<HttpRequest<Body>>>::Error;
    type Future = <KindsServer<AtOnce> as Service<HttpRequest<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<HttpRequest<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> Self::Future {
        if request.uri().path().starts_with(OTHERS) {
            *request.uri_mut() = Uri::from_static("/test.v1.Kinds/Unary");
        }
        self.0.call(request)
    }
}
