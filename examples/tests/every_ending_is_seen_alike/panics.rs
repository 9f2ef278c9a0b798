//! Panics at each place.

use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{Script, ask};

use crate::client::seen;
use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::{Server, Setup};
use crate::table::{Row, Section};

/// A caller that cancels, and a handler that panics when it is dropped.
async fn in_drop_after_a_cancel(server: Server<'_>, ending: &str) -> Row {
    let path = "test.v1.Kinds/Unary";
    let mut call = RawCall::open(&server, path, 65_535, "application/grpc").await;
    call.ask(&ask(Act::PanicInDrop, 0), true);
    server.service.until_alive(1).await;
    let reset = call.reset(h2::Reason::CANCEL);
    server.observed.until_ended().await;
    reset.close();
    server.row(ending, "—").await
}

/// A handler that panics at the second message of its request, after a message of its response.
async fn at_a_request_message(server: Server<'_>, ending: &str) -> Row {
    let path = "test.v1.Kinds/BidiStream";
    let mut call = RawCall::open(&server, path, 65_535, "application/grpc").await;
    call.ask(&ask(Act::Unspecified, 1), false);
    call.ask(&ask(Act::PanicInHandler, 0), false);
    let caller = call.end().await;
    server.row(ending, caller).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let responding = |respond: fn() -> http::Response<Script>| {
        Server::start(log, layers, Setup::responding(respond))
    };
    let stream = MethodKind::ServerStream;
    let nothing = || ask(Act::Unspecified, 0);
    let rows = vec![
        seen(usual().await, "in a unary handler", MethodKind::Unary, ask(Act::Panic, 0)).await,
        seen(
            usual().await,
            "in a handler that has read a request stream",
            MethodKind::ClientStream,
            ask(Act::Panic, 0),
        )
        .await,
        seen(usual().await, "before the stream is returned", stream, ask(Act::PanicInHandler, 0))
            .await,
        seen(usual().await, "in the stream, before its first message", stream, ask(Act::Panic, 0))
            .await,
        seen(usual().await, "in the stream, after two messages", stream, ask(Act::Panic, 2)).await,
        at_a_request_message(
            usual().await,
            "in the stream, at a message of the request, after a message of the response",
        )
        .await,
        seen(
            responding(|| Script::new().messages(1).panic().respond()).await,
            "in a response body, after a message",
            stream,
            nothing(),
        )
        .await,
        seen(
            usual().await,
            "in the drop of a stream that has ended well",
            stream,
            ask(Act::PanicInDrop, 1),
        )
        .await,
        in_drop_after_a_cancel(usual().await, "in the drop of a handler whose caller cancels")
            .await,
    ];
    Section {
        title: "Panics",
        about: "The recovery layer catches each, and the caller receives a fixed text. The message goes to the log.",
        rows,
    }
}

/// Hides the panics of the test kit. The failure of a test may show a row with the message of such a panic.
pub(crate) fn hide() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|place| place.file().contains("test-kit")) {
                previous(info);
            }
        }));
    });
}
