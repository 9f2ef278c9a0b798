//! Each place a panic can happen, for all four kinds, on server and client, over real sockets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_call::{BoxChannel, EndedBy, MethodKind, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Outcome, Recorder, ask, call, listen, method_of, read, silence_panics,
};
use tonic_recovery_layer::{Place, RecoveryLayer};
use tower::ServiceBuilder;

use crate::panics_at::{PANIC_AT, panics_at};

/// What the handler got: the place, the message and the method of each panic.
type Seen = Arc<Mutex<Vec<(Place, String, String)>>>;

fn recovery(layer: RecoveryLayer, seen: &Seen) -> RecoveryLayer {
    let seen = Arc::clone(seen);
    layer.with_handler(move |panic| {
        let rpc = panic.rpc().unwrap().full().to_owned();
        seen.lock().unwrap().push((panic.place(), panic.message().to_owned(), rpc));
        Status::internal("internal error")
    })
}

/// A server with the layer, and a client without it.
struct Recovering {
    kinds: KindsClient<Channel>,
    seen: Seen,
    not_ready: Arc<AtomicUsize>,
    calls: Recorder,
    service: KindsService,
}

async fn server() -> Recovering {
    silence_panics();
    let (seen, not_ready) = (Seen::default(), Arc::<AtomicUsize>::default());
    let (calls, service) = (Recorder::new(), KindsService::default());
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(calls.clone()))
            .layer(recovery(RecoveryLayer::server(), &seen))
            .layer(panics_at(not_ready.clone()))
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let kinds = KindsClient::new(endpoint.connect().await.unwrap());
    Recovering { kinds, seen, not_ready, calls, service }
}

impl Recovering {
    /// Checks that the connection and the service continue.
    async fn goes_on(&mut self) {
        for kind in KINDS {
            let good = call(&mut self.kinds, kind, ask(Act::Unspecified, 1), &[]).await;
            assert_eq!(good, Outcome::ok(1), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_panic_before_the_head_is_a_trailers_only_internal() {
    let mut server = server().await;
    for kind in KINDS {
        for (act, panic_at, place, text) in [
            (Act::PanicInHandler, "", Place::Future, "in a handler, on purpose"),
            (Act::Unspecified, "future", Place::Future, "in a future, on purpose"),
            (Act::Unspecified, "call", Place::Call, "in call, on purpose"),
        ] {
            let outcome = call(&mut server.kinds, kind, ask(act, 1), &[(PANIC_AT, panic_at)]).await;
            assert_eq!(outcome, Outcome::internal(0), "{kind:?} {panic_at}");
            let seen = server.seen.lock().unwrap().pop().unwrap();
            assert_eq!(seen, (place, text.to_owned(), method_of(kind).to_owned()), "{panic_at}");
        }
        server.goes_on().await;
    }
}

#[tokio::test]
async fn a_panic_in_poll_ready_fails_the_next_call() {
    let mut server = server().await;
    for kind in KINDS {
        server.not_ready.store(1, Ordering::SeqCst);
        let outcome = call(&mut server.kinds, kind, ask(Act::Unspecified, 1), &[]).await;
        assert_eq!(outcome, Outcome::internal(0), "{kind:?}");
        let seen = server.seen.lock().unwrap().pop().unwrap();
        assert_eq!(
            seen,
            (Place::PollReady, "in poll_ready, on purpose".to_owned(), method_of(kind).to_owned())
        );
        server.goes_on().await;
    }
}

#[tokio::test]
async fn a_panic_after_the_head_keeps_the_messages_and_ends_with_internal() {
    let mut server = server().await;
    for kind in KINDS {
        let outcome =
            call(&mut server.kinds, kind, ask(Act::Unspecified, 3), &[(PANIC_AT, "body")]).await;
        assert_eq!(outcome, Outcome::internal(0), "{kind:?}");
        assert_eq!(server.seen.lock().unwrap().pop().unwrap().0, Place::Body);
        server.goes_on().await;
    }
    for kind in [MethodKind::ServerStream, MethodKind::BidiStream] {
        // More than the encoder buffers, so that some are sent before the panic.
        let outcome = call(&mut server.kinds, kind, ask(Act::Panic, 5_000), &[]).await;
        assert_eq!((outcome.code, &*outcome.message), (Code::Internal, "internal error"));
        assert!((1..=5_000).contains(&outcome.notes), "{kind:?}: {}", outcome.notes);
        server.goes_on().await;
    }
}

#[tokio::test]
async fn a_panic_in_a_destructor_does_not_change_the_answer() {
    let mut server = server().await;
    for kind in KINDS {
        for panic_at in ["future_drop", "body_drop"] {
            let outcome =
                call(&mut server.kinds, kind, ask(Act::Unspecified, 1), &[(PANIC_AT, panic_at)])
                    .await;
            // An `async` block drops its values in its last poll, which is before the head.
            let expected =
                if panic_at == "future_drop" { Outcome::internal(0) } else { Outcome::ok(1) };
            assert_eq!(outcome, expected, "{kind:?} {panic_at}");
            server.goes_on().await;
        }
    }
    let seen = server.seen.lock().unwrap();
    assert_eq!(seen.iter().filter(|(place, ..)| *place == Place::Drop).count(), 4, "{seen:?}");
}

#[tokio::test]
async fn a_panic_in_the_destructor_of_a_cancelled_call_is_caught() {
    let mut server = server().await;
    for kind in [MethodKind::Unary, MethodKind::ClientStream] {
        let before = server.calls.ended().len();
        let mut kinds = server.kinds.clone();
        let running =
            tokio::spawn(
                async move { call(&mut kinds, kind, ask(Act::PanicInDrop, 0), &[]).await },
            );
        server.service.until_alive(if kind == MethodKind::Unary { 1 } else { 2 }).await;
        running.abort();
        server.service.until_alive(0).await;
        let ended = server.calls.until_ended(before + 1).await.pop().unwrap();
        assert_eq!((ended.code, ended.by), (Code::Cancelled, EndedBy::Caller));
        server.goes_on().await;
    }
    let places: Vec<_> = server.seen.lock().unwrap().iter().map(|(place, ..)| *place).collect();
    assert_eq!(places, [Place::Drop, Place::Drop]);
}

#[tokio::test]
async fn an_observer_outside_sees_the_status_and_that_a_panic_ended_the_call() {
    let mut server = server().await;
    for kind in KINDS {
        call(&mut server.kinds, kind, ask(Act::PanicInHandler, 0), &[]).await;
        call(&mut server.kinds, kind, ask(Act::Unspecified, 1), &[(PANIC_AT, "body")]).await;
    }
    for ended in server.calls.until_ended(8).await {
        assert_eq!((ended.code, ended.by), (Code::Internal, EndedBy::Panic));
    }
}

#[tokio::test]
async fn an_observer_inside_sees_that_the_call_unwound() {
    silence_panics();
    let calls = Recorder::new();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(RecoveryLayer::new())
            .layer(ObserveLayer::server(calls.clone()))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let mut kinds = KindsClient::new(endpoint.connect().await.unwrap());
    for kind in KINDS {
        let outcome = call(&mut kinds, kind, ask(Act::Panic, 0), &[]).await;
        assert_eq!(outcome, Outcome::internal(0), "{kind:?}");
    }
    let ended = calls.until_ended(4).await;
    assert!(ended.iter().all(|call| call.code == Code::Internal && call.by == EndedBy::Panic));
}

/// A client with the layer, and a server without it.
async fn client(seen: &Seen, not_ready: &Arc<AtomicUsize>) -> KindsClient<BoxChannel> {
    silence_panics();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(recovery(RecoveryLayer::client(), seen))
        .layer(panics_at(not_ready.clone()))
        .service(endpoint.connect().await.unwrap());
    KindsClient::new(BoxChannel::new(channel))
}

#[tokio::test]
async fn a_client_recovers_panics_in_its_layers() {
    let (seen, not_ready) = (Seen::default(), Arc::<AtomicUsize>::default());
    let mut kinds = client(&seen, &not_ready).await;
    for kind in KINDS {
        for (panic_at, place) in
            [("call", Place::Call), ("future", Place::Future), ("body", Place::Body)]
        {
            let outcome =
                call(&mut kinds, kind, ask(Act::Unspecified, 1), &[(PANIC_AT, panic_at)]).await;
            assert_eq!(outcome, Outcome::internal(0), "{kind:?} {panic_at}");
            assert_eq!(seen.lock().unwrap().pop().unwrap().0, place);
        }
        not_ready.store(1, Ordering::SeqCst);
        let outcome = call(&mut kinds, kind, ask(Act::Unspecified, 1), &[]).await;
        assert_eq!(outcome, Outcome::internal(0), "{kind:?}");
        let outcome =
            call(&mut kinds, kind, ask(Act::Unspecified, 1), &[(PANIC_AT, "body_drop")]).await;
        assert_eq!(outcome, Outcome::ok(1), "{kind:?}");
        assert_eq!(call(&mut kinds, kind, ask(Act::Unspecified, 1), &[]).await, Outcome::ok(1));
    }
}

#[tokio::test]
async fn a_request_stream_that_panics_ends_only_its_own_call() {
    let (seen, not_ready) = (Seen::default(), Arc::default());
    let kinds = client(&seen, &not_ready).await;

    // Another call on the same connection, which must continue.
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let asks = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut other = kinds.clone();
    sender.send(ask(Act::Unspecified, 1)).await.unwrap();
    let mut notes = other.bidi_stream(asks).await.unwrap().into_inner();
    assert!(notes.message().await.unwrap().is_some());

    let panics = || {
        let mut left = 3;
        tokio_stream::iter(std::iter::from_fn(move || {
            left -= 1;
            assert!(left > 0, "in a request, on purpose");
            Some(Ask { notes: 1, ..Ask::default() })
        }))
    };
    let mut one = kinds.clone();
    let status = one.client_stream(panics()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    let outcome = match one.bidi_stream(panics()).await {
        Ok(notes) => read(notes.into_inner()).await,
        Err(status) => Outcome { notes: 0, code: status.code(), message: status.message().into() },
    };
    assert_eq!((outcome.code, &*outcome.message), (Code::Internal, "internal error"));
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|(place, text, _)| {
        *place == Place::RequestBody && text == "in a request, on purpose"
    }));

    sender.send(ask(Act::Unspecified, 2)).await.unwrap();
    drop(sender);
    assert_eq!(read(notes).await, Outcome::ok(2));
}
