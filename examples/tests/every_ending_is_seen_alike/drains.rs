//! Servers that shut down while a call runs.

use tonic::Status;
use tonic_call::{EndedBy, Refusal};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{ask, read};

use crate::client::{KNOWN, shown, status};
use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::Server;
use crate::table::{Row, Section};

/// Ends the open calls.
type End = fn(&tonic_call::Cut) -> bool;

fn refuses(cut: &tonic_call::Cut) -> bool {
    let refusal = Refusal::new("drain", "DRAINING");
    cut.refuse(&refusal, Status::unavailable("the server is stopping"))
}

fn cuts(cut: &tonic_call::Cut) -> bool {
    cut.cut(EndedBy::Service, Status::unavailable("the server is stopping"))
}

/// A stream with one message, which a drain ends.
async fn stream(mut server: Server<'_>, ending: &str, end: End) -> Row {
    let mut request = tonic::Request::new(ask(Act::Hang, 1));
    request.metadata_mut().insert(KNOWN.0, KNOWN.1.parse().unwrap());
    let mut client = server.client().await;
    let mut stream = client.server_stream(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    server.stop();
    assert!(server.cuts.lock().unwrap().iter().all(end), "the call was open");
    let mut outcome = read(&mut stream).await;
    outcome.notes += 1;
    drop((client, stream));
    server.row(ending, shown(&outcome)).await
}

/// A unary call that a drain ends at its limit.
async fn unary(mut server: Server<'_>, ending: &str) -> Row {
    let mut request = tonic::Request::new(ask(Act::Hang, 0));
    request.metadata_mut().insert(KNOWN.0, KNOWN.1.parse().unwrap());
    let mut client = server.client().await;
    let call = async { client.unary(request).await.unwrap_err() };
    let service = server.service.clone();
    let drain = async {
        service.until_alive(1).await;
        server.stop();
        assert!(server.cuts.lock().unwrap().iter().all(refuses), "the call was open");
    };
    let (failed, ()) = tokio::join!(call, drain);
    drop(client);
    server.row(ending, status(failed.code(), failed.message())).await
}

/// A call that ends by itself after the server began to shut down.
async fn finishes(mut server: Server<'_>, ending: &str) -> Row {
    let path = "test.v1.Kinds/ClientStream";
    let mut call = RawCall::open(&server, path, 65_535, "application/grpc").await;
    call.ask(&ask(Act::Unspecified, 0), false);
    server.service.until_alive(1).await;
    server.stop();
    call.ask(&ask(Act::Unspecified, 0), true);
    let caller = call.end().await;
    server.row(ending, caller).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let rows = vec![
        finishes(usual().await, "a call that ends by itself while the server drains").await,
        stream(usual().await, "a stream that the drain ends, by `Cut::refuse`", refuses).await,
        stream(usual().await, "a stream that the drain ends, by `Cut::cut`", cuts).await,
        unary(usual().await, "a unary call that the drain ends at its limit").await,
    ];
    Section {
        title: "Drains",
        about: "The server shuts down gracefully, by GOAWAY, and ends what would not end by itself, as `orders` does.",
        rows,
    }
}
