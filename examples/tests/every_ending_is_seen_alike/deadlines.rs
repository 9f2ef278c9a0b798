//! Deadlines of callers and of the server.

use std::time::Duration;

use tonic::Request;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{ask, read};
use tonic_deadline_layer::DeadlineLayer;

use crate::client::{KNOWN, shown, status};
use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::{Server, Setup};
use crate::table::{Row, Section};

const SECOND: Duration = Duration::from_secs(1);

fn hangs(timeout: Option<&str>, notes: u32) -> Request<tonic_call_test_kit::v1::Ask> {
    let mut request = Request::new(ask(Act::Hang, notes));
    request.metadata_mut().insert(KNOWN.0, KNOWN.1.parse().unwrap());
    if let Some(timeout) = timeout {
        request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    }
    request
}

/// A unary call that hangs until a deadline.
async fn unary(server: Server<'_>, ending: &str, timeout: Option<&str>) -> Row {
    let mut client = server.client().await;
    let call = async { client.unary(hangs(timeout, 0)).await.unwrap_err() };
    let expire = async {
        server.service.until_alive(1).await;
        tokio::time::advance(SECOND).await;
    };
    let (failed, ()) = tokio::join!(call, expire);
    drop(client);
    server.row(ending, status(failed.code(), failed.message())).await
}

/// A stream that hangs until a deadline, after these messages.
async fn stream(server: Server<'_>, ending: &str, timeout: Option<&str>, notes: u32) -> Row {
    let mut client = server.client().await;
    let mut stream = client.server_stream(hangs(timeout, notes)).await.unwrap().into_inner();
    for _ in 0..notes {
        stream.message().await.unwrap().unwrap();
    }
    tokio::time::advance(SECOND).await;
    let mut outcome = read(&mut stream).await;
    outcome.notes += notes as usize;
    drop((client, stream));
    server.row(ending, shown(&outcome)).await
}

/// A caller that does not read its stream.
async fn stalls(server: Server<'_>, ending: &str) -> Row {
    let mut call =
        RawCall::open(&server, "test.v1.Kinds/ServerStream", 8, "application/grpc").await;
    call.ask(&ask(Act::Unspecified, 9), true);
    call.head().await;
    call.data().await;
    tokio::time::advance(SECOND).await;
    server.observed.until_ended().await;
    call.hang_up();
    server.row(ending, "— (it reads nothing, and cannot receive a status)").await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let limited = |deadlines| Server::start(log, layers, Setup { deadlines, ..Setup::new() });
    let server = DeadlineLayer::server;
    let rows = vec![
        unary(usual().await, "the caller's deadline passes before the head", Some("1S")).await,
        stream(
            usual().await,
            "the caller's deadline passes before the first message",
            Some("1S"),
            0,
        )
        .await,
        stream(usual().await, "the caller's deadline passes after two messages", Some("1S"), 2)
            .await,
        unary(
            limited(server().default(SECOND)).await,
            "the server's default passes, without a deadline of the caller",
            None,
        )
        .await,
        unary(
            limited(server().cap(SECOND)).await,
            "the server's cap passes before the caller's deadline",
            Some("9S"),
        )
        .await,
        stream(
            limited(server().stream_default(SECOND)).await,
            "the server's default for streams passes after a message",
            None,
            1,
        )
        .await,
        stream(
            limited(server().stream_cap(SECOND)).await,
            "the server's cap for streams passes after a message",
            Some("9S"),
            1,
        )
        .await,
        stalls(
            limited(server().stall(SECOND)).await,
            "the caller reads nothing for as long as `stall` allows",
        )
        .await,
    ];
    Section {
        title: "Deadlines",
        about: "The deadline layer ends the call, the caller learns whose limit it was, and the handler is dropped.",
        rows,
    }
}
