//! `RecoverStream` delivers the messages before a panic, and reports a panic of the task that feeds it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_call::{EndedBy, MethodKind, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::{Kinds, KindsServer};
use tonic_call_test_kit::v1::{Act, Ask, Note};
use tonic_call_test_kit::{
    KindsService, Outcome, Recorder, ask, call, listen, read, silence_panics,
};
use tonic_recovery_layer::{Place, RecoverStream, RecoveryLayer};

/// A service whose streams are `RecoverStream`s; a task feeds the bidi stream.
struct Adapted(KindsService);

type NoteStream = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

#[tonic::async_trait]
impl Kinds for Adapted {
    type ServerStreamStream = NoteStream;
    type BidiStreamStream = NoteStream;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        self.0.unary(request).await
    }

    async fn peek(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        self.0.peek(request).await
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Note>, Status> {
        self.0.client_stream(request).await
    }

    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<NoteStream>, Status> {
        let notes = self.0.server_stream(request).await?.into_inner();
        Ok(Response::new(Box::pin(RecoverStream::new(notes))))
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<NoteStream>, Status> {
        let ask = request.into_inner().message().await?.unwrap_or_default();
        let aborted = ask.act() == Act::Fail;
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let producer = tokio::spawn(async move {
            for number in 1..=ask.notes {
                let note = Note { number, text: String::new() };
                if sender.send(Ok(note)).await.is_err() {
                    return;
                }
            }
            match ask.act() {
                Act::Panic => panic!("in a producer, on purpose"),
                Act::Hang => std::future::pending().await,
                _ => {}
            }
        });
        if aborted {
            producer.abort();
        }
        let stream = ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(RecoverStream::fed_by(stream, producer))))
    }
}

type Seen = Arc<Mutex<Vec<(Place, String)>>>;

async fn adapted() -> (KindsClient<Channel>, Seen, Recorder) {
    silence_panics();
    let (seen, calls) = (Seen::default(), Recorder::new());
    let hook = Arc::clone(&seen);
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(calls.clone()))
            .layer(RecoveryLayer::server().with_handler(move |panic| {
                assert!(panic.rpc().is_some(), "the layer knows the call");
                hook.lock().unwrap().push((panic.place(), panic.message().to_owned()));
                Status::data_loss("set by the handler")
            }))
            .add_service(KindsServer::new(Adapted(KindsService::default())))
            .serve_with_incoming(incoming),
    );
    (KindsClient::new(endpoint.connect().await.unwrap()), seen, calls)
}

#[tokio::test]
async fn all_messages_before_a_panic_arrive() {
    let (mut kinds, seen, calls) = adapted().await;
    for count in [0, 1, 2, 5_000] {
        for kind in [MethodKind::ServerStream, MethodKind::BidiStream] {
            let outcome = call(&mut kinds, kind, ask(Act::Panic, count), &[]).await;
            let notes = count as usize;
            let message = "set by the handler".to_owned();
            assert_eq!(outcome, Outcome { notes, code: Code::DataLoss, message }, "{kind:?}");
            let (place, text) = seen.lock().unwrap().pop().unwrap();
            assert_eq!(place, Place::Stream);
            assert!(["in a stream, on purpose", "in a producer, on purpose"].contains(&&*text));
        }
    }
    let ended = calls.until_ended(8).await;
    assert!(ended.iter().all(|call| call.by == EndedBy::Panic && call.code == Code::DataLoss));
}

#[tokio::test]
async fn a_stream_without_a_panic_ends_with_its_own_status() {
    let (mut kinds, seen, _) = adapted().await;
    for count in [0, 1, 5_000] {
        for kind in [MethodKind::ServerStream, MethodKind::BidiStream] {
            let outcome = call(&mut kinds, kind, ask(Act::Unspecified, count), &[]).await;
            assert_eq!(outcome, Outcome::ok(count as usize));
        }
    }
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_producer_that_is_aborted_ends_its_stream_with_an_error() {
    let (mut kinds, seen, _) = adapted().await;
    let outcome = call(&mut kinds, MethodKind::BidiStream, ask(Act::Fail, 100), &[]).await;
    assert_eq!(outcome.code, Code::Cancelled);
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_layer_the_caller_gets_internal() {
    silence_panics();
    let mut left = 3;
    let stream = tokio_stream::iter(std::iter::from_fn(move || {
        left -= 1;
        assert!(left > 0, "in a stream, on purpose");
        Some(Ok(Note::default()))
    }));
    assert_eq!(read(RecoverStream::new(stream)).await, Outcome::internal(2));
}

#[tokio::test]
async fn a_stream_is_never_polled_after_it_panicked_or_ended() {
    silence_panics();
    let panics = tokio_stream::iter([1]).map(|_| -> Result<u8, Status> { panic!("on purpose") });
    let mut stream = RecoverStream::new(panics);
    assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::Internal);
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());

    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<u8, Status>>(1);
    let producer = tokio::spawn(async move { drop(sender) });
    let mut stream = RecoverStream::fed_by(ReceiverStream::new(receiver), producer);
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
}
