use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::panics::PanicsInDrop;
use crate::v1::kinds_server::Kinds;
use crate::v1::{Act, Ask, Note};

/// A service that does what each [`Ask`] requests, and counts its running handlers and streams.
#[derive(Clone, Debug)]
pub struct KindsService {
    alive: Arc<watch::Sender<usize>>,
}

impl Default for KindsService {
    fn default() -> Self {
        Self { alive: Arc::new(watch::Sender::new(0)) }
    }
}

impl KindsService {
    /// Waits until exactly this number of handlers and streams are alive.
    pub async fn until_alive(&self, count: usize) {
        let mut alive = self.alive.subscribe();
        // `self` holds the sender, so waiting can't fail.
        let _ = alive.wait_for(|alive| *alive == count).await;
    }

    fn live(&self) -> Alive {
        self.alive.send_modify(|alive| *alive += 1);
        Alive(Arc::clone(&self.alive))
    }

    async fn one(&self, ask: Ask) -> Result<Response<Note>, Status> {
        let _alive = self.live();
        match ask.act() {
            Act::Unspecified => Ok(Response::new(note(0, &ask.text))),
            Act::Fail => Err(failure(&ask)),
            Act::Panic | Act::PanicInHandler => panic!("in a handler, on purpose"),
            Act::Hang => std::future::pending().await,
            Act::PanicInDrop => {
                let _panics = PanicsInDrop;
                std::future::pending().await
            }
        }
    }

    fn many(&self, ask: Ask) -> Notes {
        assert!(ask.act() != Act::PanicInHandler, "in a handler, on purpose");
        Notes {
            _panics_in_drop: (ask.act() == Act::PanicInDrop).then(|| PanicsInDrop),
            ask,
            sent: 0,
            _alive: self.live(),
        }
    }
}

#[derive(Debug)]
struct Alive(Arc<watch::Sender<usize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive -= 1);
    }
}

/// The notes that one [`Ask`] requests.
#[derive(Debug)]
pub struct Notes {
    ask: Ask,
    sent: u32,
    _panics_in_drop: Option<PanicsInDrop>,
    _alive: Alive,
}

impl Stream for Notes {
    type Item = Result<Note, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.sent < self.ask.notes {
            self.sent += 1;
            return Poll::Ready(Some(Ok(note(self.sent, &self.ask.text))));
        }
        match self.ask.act() {
            Act::Unspecified | Act::PanicInDrop => Poll::Ready(None),
            Act::Fail => Poll::Ready(Some(Err(failure(&self.ask)))),
            Act::Panic | Act::PanicInHandler => panic!("in a stream, on purpose"),
            Act::Hang => Poll::Pending,
        }
    }
}

fn note(number: u32, text: &str) -> Note {
    Note { number, text: text.to_owned() }
}

fn failure(ask: &Ask) -> Status {
    Status::new(Code::from_i32(ask.code), "on purpose")
}

type NoteStream = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

#[tonic::async_trait]
impl Kinds for KindsService {
    type ServerStreamStream = Notes;
    type BidiStreamStream = NoteStream;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        self.one(request.into_inner()).await
    }

    async fn peek(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        self.one(request.into_inner()).await
    }

    /// Does what the last [`Ask`] requests, after receiving all.
    async fn client_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Note>, Status> {
        let _alive = self.live();
        let mut asks = request.into_inner();
        let mut last = Ask::default();
        while let Some(ask) = asks.message().await? {
            last = ask;
        }
        self.one(last).await
    }

    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<Notes>, Status> {
        Ok(Response::new(self.many(request.into_inner())))
    }

    /// Does what each [`Ask`] requests, one after the other.
    async fn bidi_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<NoteStream>, Status> {
        let mut asks = request.into_inner();
        let first = asks.message().await?.unwrap_or_default();
        let service = self.clone();
        let later = asks.map(move |ask| ask.map(|ask| service.many(ask)));
        let first = tokio_stream::once(Ok(self.many(first)));
        Ok(Response::new(Box::pin(Flattened { streams: first.chain(later), current: None })))
    }
}

/// The notes of each stream in turn.
struct Flattened<S> {
    streams: S,
    current: Option<Notes>,
}

impl<S> Stream for Flattened<S>
where
    S: Stream<Item = Result<Notes, Status>> + Unpin,
{
    type Item = Result<Note, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(notes) = &mut this.current {
                match std::task::ready!(Pin::new(notes).poll_next(cx)) {
                    Some(note) => return Poll::Ready(Some(note)),
                    None => this.current = None,
                }
            }
            match std::task::ready!(Pin::new(&mut this.streams).poll_next(cx)) {
                Some(Ok(notes)) => this.current = Some(notes),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
    }
}
