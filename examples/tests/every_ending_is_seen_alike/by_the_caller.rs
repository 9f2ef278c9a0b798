//! Callers that leave: at each point of a call, and in each way.

use h2::Reason;
use tonic_call_test_kit::ask;
use tonic_call_test_kit::v1::{Act, Ask};

use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::Server;
use crate::table::{Row, Section};

const UNARY: &str = "test.v1.Kinds/Unary";
const STREAM: &str = "test.v1.Kinds/ServerStream";
const WINDOW: u32 = 65_535;
/// The length of a response message with number 1, and its prefix.
const ONE_NOTE: u32 = 7;

/// How a caller leaves.
#[derive(Clone, Copy)]
enum Leaves {
    Resets(Reason),
    HangsUp,
}

use Leaves::*;

async fn call(server: &Server<'_>, path: &str, window: u32, ask: &Ask) -> RawCall {
    let mut call = RawCall::open(server, path, window, "application/grpc").await;
    call.ask(ask, true);
    call
}

async fn leave(call: RawCall, server: Server<'_>, ending: &str, leaves: Leaves) -> Row {
    let caller = match leaves {
        Resets(reason) => {
            let reset = call.reset(reason);
            server.observed.until_ended().await;
            reset.close();
            "—"
        }
        HangsUp => {
            call.hang_up();
            "—"
        }
    };
    server.row(ending, caller).await
}

/// A caller that leaves while the handler of a unary method runs.
async fn before_the_head(server: Server<'_>, ending: &str, leaves: Leaves) -> Row {
    let call = call(&server, UNARY, WINDOW, &ask(Act::Hang, 0)).await;
    server.service.until_alive(1).await;
    leave(call, server, ending, leaves).await
}

/// A caller that leaves a stream after these messages.
async fn after_messages(server: Server<'_>, ending: &str, notes: u32, leaves: Leaves) -> Row {
    let mut call = call(&server, STREAM, WINDOW, &ask(Act::Hang, notes)).await;
    call.head().await;
    let mut received = 0;
    while received < ONE_NOTE * notes {
        received += call.data().await.len() as u32;
    }
    leave(call, server, ending, leaves).await
}

/// A caller that leaves after it has received the last message, while flow control holds the trailers back.
async fn before_the_trailers(server: Server<'_>, ending: &str, path: &str, length: u32) -> Row {
    let mut call = call(&server, path, length, &ask(Act::Unspecified, 1)).await;
    call.head().await;
    assert_eq!(call.data().await.len(), length as usize);
    leave(call, server, ending, Resets(Reason::CANCEL)).await
}

/// A caller that resets its stream while the server waits for more of the request.
async fn while_it_uploads(server: Server<'_>, ending: &str, leaves: Leaves) -> Row {
    let path = "test.v1.Kinds/ClientStream";
    let mut call = RawCall::open(&server, path, WINDOW, "application/grpc").await;
    call.ask(&ask(Act::Unspecified, 0), false);
    server.service.until_alive(1).await;
    leave(call, server, ending, leaves).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let cancels = Resets(Reason::CANCEL);
    let mut rows = vec![
        before_the_head(usual().await, "cancels before the head", cancels).await,
        after_messages(
            usual().await,
            "cancels after the head, before the first message",
            0,
            cancels,
        )
        .await,
        after_messages(usual().await, "cancels between two messages", 2, cancels).await,
        before_the_trailers(
            usual().await,
            "cancels a stream after its last message, before the trailers",
            STREAM,
            ONE_NOTE,
        )
        .await,
        before_the_trailers(
            usual().await,
            "cancels a unary call after its message, before the trailers",
            UNARY,
            5,
        )
        .await,
        while_it_uploads(usual().await, "cancels while it sends its requests", cancels).await,
    ];
    for (reason, name) in [
        (Reason::NO_ERROR, "NO_ERROR"),
        (Reason::PROTOCOL_ERROR, "PROTOCOL_ERROR"),
        (Reason::INTERNAL_ERROR, "INTERNAL_ERROR"),
        (Reason::REFUSED_STREAM, "REFUSED_STREAM"),
        (Reason::ENHANCE_YOUR_CALM, "ENHANCE_YOUR_CALM"),
    ] {
        let ending = format!("RST_STREAM `{name}` before the head");
        rows.push(before_the_head(usual().await, &ending, Resets(reason)).await);
    }
    rows.push(
        while_it_uploads(
            usual().await,
            "RST_STREAM `INTERNAL_ERROR` while it sends its requests",
            Resets(Reason::INTERNAL_ERROR),
        )
        .await,
    );
    rows.push(
        before_the_head(usual().await, "the connection closes before the head", HangsUp).await,
    );
    rows.push(
        after_messages(usual().await, "the connection closes between two messages", 2, HangsUp)
            .await,
    );
    rows.push(
        while_it_uploads(
            usual().await,
            "the connection closes while it sends its requests",
            HangsUp,
        )
        .await,
    );
    Section {
        title: "Callers that leave",
        about: "By RST_STREAM with `CANCEL`, as gRPC clients cancel, with other codes, and by closing the connection.",
        rows,
    }
}
