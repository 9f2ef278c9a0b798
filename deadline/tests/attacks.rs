//! Hostile and unlucky callers, over real sockets.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::{Client, Messages, Place, Raw, SERVERS_MESSAGE, Served, read, read_rest, serve};
use h2::Reason;
use tokio::task::JoinSet;
use tonic::{Code, Request};
use tonic_call::{EndedBy, MethodKind, ObserveLayer};
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, Recorder, ask, silence_panics};
use tonic_deadline_layer::DeadlineLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::ServiceBuilder;

fn endless() -> Ask {
    Ask { text: "x".repeat(1_000), ..ask(Act::Unspecified, u32::MAX) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_callers_that_read_nothing_are_ended_without_a_deadline() {
    let served = Served::start(DeadlineLayer::server().stall(Duration::from_millis(100)));
    let raw = Raw::with_window(served.address, 1_024).await;
    let mut calls = Vec::new();
    for number in 0..50 {
        let kind = [MethodKind::ServerStream, MethodKind::BidiStream][number % 2];
        let mut call = raw.begin(kind, &[]).await;
        call.send(&endless(), kind == MethodKind::ServerStream);
        let body = call.response.await.unwrap().into_body();
        calls.push((call.request, body));
    }
    for recorded in served.inside.until_ended(50).await {
        let ending = (recorded.code, recorded.by);
        assert_eq!(ending, (Code::DeadlineExceeded, EndedBy::Deadline), "{recorded:?}");
    }
    served.service.until_alive(0).await;
    assert!(served.outside.ended().is_empty());
    // They can still find out why.
    for (_request, body) in calls {
        let answer = read_rest(body).await.unwrap();
        let message = "the caller has read nothing for 100ms";
        assert_eq!((answer.code, answer.message.as_str()), (Code::DeadlineExceeded, message));
    }
    for recorded in served.outside.until_ended(50).await {
        let ending = (recorded.code, recorded.by);
        assert_eq!(ending, (Code::DeadlineExceeded, EndedBy::Deadline), "{recorded:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_slowly_is_not_ended_until_it_stops() {
    let stall = Duration::from_millis(500);
    let served = Served::start(DeadlineLayer::server().stall(stall));
    let raw = Raw::with_window(served.address, 4_096).await;
    let mut call = raw.begin(MethodKind::ServerStream, &[]).await;
    call.send(&endless(), true);
    let mut body = call.response.await.unwrap().into_body();
    let (began, mut messages) = (tokio::time::Instant::now(), Messages::default());
    // This caller takes 4 KiB every 20 ms.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while began.elapsed() < 3 * stall {
        pace.tick().await;
        let mut read = 0;
        while read < 4_096 {
            let data = body.data().await.unwrap().unwrap();
            read += data.len();
            body.flow_control().release_capacity(data.len()).unwrap();
            messages.receive(&data);
        }
    }
    assert!(messages.count > 100, "{}", messages.count);
    assert!(served.inside.ended().is_empty());
    // Now it stops.
    let recorded = served.inside.until_ended(1).await.remove(0);
    assert_eq!(recorded.by, EndedBy::Deadline, "{recorded:?}");
    let answer = read_rest(body).await.unwrap();
    let message = "the caller has read nothing for 500ms";
    assert_eq!((answer.code, answer.message.as_str()), (Code::DeadlineExceeded, message));
    served.service.until_alive(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_timeout_there_is_ends_nothing() {
    let served = Served::start(DeadlineLayer::server());
    let raw = Raw::connect(served.address).await;
    for kind in KINDS {
        let answer = raw.call(kind, &["99999999H"], &ask(Act::Unspecified, 1)).await;
        assert_eq!((answer.code, answer.messages), (Code::Ok, 1), "{kind}");
    }
    for recorded in served.outside.until_ended(4).await {
        assert_eq!((recorded.code, recorded.by), (Code::Ok, EndedBy::Service));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timeouts_that_say_nothing_clear_are_refused() {
    let served = Served::start(DeadlineLayer::server());
    let raw = Raw::connect(served.address).await;
    let nines = "9".repeat(10_000) + "S";
    let cases: [&[&str]; 9] = [
        &["5S", "5S"],
        &["1n", "60S"],
        &["5S", ""],
        &[""],
        &["S"],
        &["999999999S"],
        &["5s"],
        &["5S, 5S"],
        &[&nines],
    ];
    for (kind, timeouts) in KINDS.into_iter().cycle().zip(cases) {
        let answer = raw.call(kind, timeouts, &ask(Act::Unspecified, 1)).await;
        assert_eq!((answer.place, answer.code), (Place::Head, Code::Internal), "{timeouts:?}");
        assert!(answer.message.contains("grpc-timeout"), "{answer:?}");
        assert!(answer.message.len() < 200, "nothing of the value: {answer:?}");
    }
    for recorded in served.outside.until_ended(cases.len()).await {
        assert_eq!(recorded.by, EndedBy::Refusal { by: "deadline" }, "{recorded:?}");
    }
    assert_eq!(served.inside.begun(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_in_the_middle_is_the_callers_and_leaves_nothing() {
    let served = Served::start(DeadlineLayer::server());
    let raw = Raw::connect(served.address).await;
    let mut count = 0;
    for kind in KINDS {
        for reason in [Reason::CANCEL, Reason::NO_ERROR, Reason::INTERNAL_ERROR] {
            let mut call = raw.begin(kind, &["60S"]).await;
            // The handler of an upload that has ended is counted twice.
            call.send(&ask(Act::Hang, 2), kind != MethodKind::ClientStream);
            served.service.until_alive(1).await;
            call.reset(reason);
            served.service.until_alive(0).await;
            count += 1;
            for observer in [&served.outside, &served.inside] {
                let recorded = observer.until_ended(count).await.pop().unwrap();
                let ending = (recorded.code, recorded.by);
                assert_eq!(ending, (Code::Cancelled, EndedBy::Caller), "{kind} {recorded:?}");
                assert_eq!(observer.ended().len(), count);
            }
        }
    }
}

/// Waits until all calls that have begun have ended, and checks that each ended once, as one of them may. The calls
/// must have begun: a server begins those of a connection in their order.
async fn assert_one_ending_each(observers: &[&Recorder], endings: &[(Code, EndedBy)]) {
    for observer in observers {
        let ended = observer.until_ended(observer.begun()).await;
        assert_eq!(ended.len(), observer.begun());
        for recorded in ended {
            assert!(endings.contains(&(recorded.code, recorded.by)), "{recorded:?}");
        }
    }
}

const AT_EXPIRY: [(Code, EndedBy); 3] = [
    (Code::DeadlineExceeded, EndedBy::Deadline),
    (Code::Cancelled, EndedBy::Caller),
    // The last call.
    (Code::Ok, EndedBy::Service),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resets_at_the_moment_of_expiry_end_each_call_once() {
    let served = Served::start(DeadlineLayer::server());
    let raw = Raw::connect(served.address).await;
    let timeout = Duration::from_millis(60);
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let raw = raw.clone();
        calls.spawn(async move {
            let kind = KINDS[number as usize % 4];
            let began = tokio::time::Instant::now();
            let mut call = raw.begin(kind, &["60m"]).await;
            call.send(&ask(Act::Hang, 2), true);
            // From 10 ms before to 10 ms after.
            let at = began + timeout - Duration::from_millis(10);
            let at = at + Duration::from_micros(number * 100);
            if tokio::time::timeout_at(at, read(call.response)).await.is_err() {
                call.request.send_reset(Reason::CANCEL);
            }
        });
    }
    calls.join_all().await;
    served.service.until_alive(0).await;
    let answer = raw.call(MethodKind::Unary, &["60S"], &ask(Act::Unspecified, 0)).await;
    assert_eq!(answer.code, Code::Ok, "the connection is still good");
    assert_one_ending_each(&[&served.outside, &served.inside], &AT_EXPIRY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_drops_its_calls_at_the_moment_of_expiry_reports_each_once() {
    let served = Served::start(DeadlineLayer::server());
    let channel = served.endpoint.connect().await.unwrap();
    let client = Client::new(DeadlineLayer::client(None), channel);
    let timeout = Duration::from_millis(60);
    let mut calls = JoinSet::new();
    for number in 0..200 {
        let mut kinds = client.kinds.clone();
        calls.spawn(async move {
            let mut request = Request::new(ask(Act::Hang, 1));
            request.set_timeout(timeout);
            let call = async {
                if number % 2 == 0 {
                    return kinds.unary(request).await.unwrap_err().code();
                }
                match kinds.server_stream(request).await {
                    Ok(notes) => {
                        let mut notes = notes.into_inner();
                        loop {
                            if let Err(status) = notes.message().await {
                                return status.code();
                            }
                        }
                    }
                    Err(status) => status.code(),
                }
            };
            let at = timeout - Duration::from_millis(10) + Duration::from_micros(number * 100);
            tokio::time::timeout(at, call).await.ok().map(|code| code as i32)
        });
    }
    let codes: BTreeSet<_> = calls.join_all().await.into_iter().flatten().collect();
    assert!(codes.iter().all(|code| *code == Code::DeadlineExceeded as i32), "{codes:?}");
    served.service.until_alive(0).await;
    client.kinds.clone().unary(ask(Act::Unspecified, 0)).await.unwrap();
    assert_eq!(client.outside.begun(), 201);
    let observers = [&client.outside, &client.inside, &served.outside, &served.inside];
    assert_one_ending_each(&observers, &AT_EXPIRY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn panics_of_a_call_whose_deadline_passes_harm_nobody() {
    silence_panics();
    let (outside, service) = (Recorder::new(), KindsService::default());
    let layers = ServiceBuilder::new()
        .layer(ObserveLayer::server(outside.clone()))
        .layer(RecoveryLayer::server())
        .layer(DeadlineLayer::server());
    let (address, server) = serve(layers, service.clone());
    let raw = Raw::connect(address).await;
    let mut count = 0;

    // The handler panics before its deadline: recovery answers.
    for (kind, act) in KINDS.map(|kind| (kind, Act::Panic)) {
        let answer = raw.call(kind, &["60S"], &ask(act, 1)).await;
        assert_eq!((answer.code, answer.message.as_str()), (Code::Internal, "internal error"));
        count += 1;
        let recorded = outside.until_ended(count).await.pop().unwrap();
        assert_eq!((recorded.code, recorded.by), (Code::Internal, EndedBy::Panic), "{kind}");
    }

    // The deadline passes, and what is dropped then panics.
    for kind in KINDS {
        let endless = Ask { text: "x".repeat(1_000), ..ask(Act::PanicInDrop, u32::MAX) };
        let answer = raw.call(kind, &["60m"], &endless).await;
        let seen = (answer.code, answer.message.as_str());
        assert_eq!(seen, (Code::DeadlineExceeded, SERVERS_MESSAGE), "{kind}");
        service.until_alive(0).await;
        count += 1;
        let recorded = outside.until_ended(count).await.pop().unwrap();
        let ending = (recorded.code, recorded.by);
        assert_eq!(ending, (Code::DeadlineExceeded, EndedBy::Deadline), "{kind} {recorded:?}");
    }
    assert_eq!(outside.begun(), count);
    let answer = raw.call(MethodKind::Unary, &["60S"], &ask(Act::Unspecified, 0)).await;
    assert_eq!(answer.code, Code::Ok, "the server goes on");
    server.abort();
}
