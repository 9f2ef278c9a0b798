//! Endings by the service that are not a handler's status in a unary call.

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Script, ask, stream};

use crate::client::seen;
use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::{MAX_REQUEST, Server, Setup};
use crate::table::{Row, Section};

const STREAM: MethodKind = MethodKind::ServerStream;

async fn responds(
    log: &Log,
    layers: Layers,
    ending: &str,
    respond: impl Fn() -> http::Response<Script> + Send + Sync + 'static,
) -> Row {
    let server = Server::start(log, layers, Setup::responding(respond)).await;
    seen(server, ending, STREAM, ask(Act::Unspecified, 0)).await
}

/// Sends one message with these headers to a unary method.
async fn sends(server: Server<'_>, ending: &str, headers: &[(&str, &str)], body: &[u8]) -> Row {
    let mut request = http::Request::post("http://localhost/test.v1.Kinds/Unary")
        .header("te", "trailers")
        .header(crate::client::KNOWN.0, crate::client::KNOWN.1);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut call = RawCall::send(&server, 65_535, request).await;
    call.requests.send_data(body.to_vec().into(), true).unwrap();
    let caller = call.end().await;
    server.row(ending, caller).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let usual = || Server::usual(log, layers);
    let grpc = ("content-type", "application/grpc");
    let fails = |notes| Ask { code: Code::DataLoss as i32, ..ask(Act::Fail, notes) };
    let large = Ask { text: "x".repeat(MAX_REQUEST), ..ask(Act::Unspecified, 0) };
    let rows = vec![
        seen(usual().await, "a stream ends well", STREAM, ask(Act::Unspecified, 2)).await,
        seen(usual().await, "a stream fails after two messages", STREAM, fails(2)).await,
        seen(usual().await, "a stream fails before its first message", STREAM, fails(0)).await,
        seen(
            usual().await,
            "both sides stream, and end well",
            MethodKind::BidiStream,
            ask(Act::Unspecified, 2),
        )
        .await,
        responds(log, layers, "a response without a status: HTTP 200 and no trailers", || {
            Script::new().message(b"\x08\x01").respond()
        })
        .await,
        responds(log, layers, "a response with a status that gRPC does not define: 99", || {
            let trailers = ("grpc-status".parse().unwrap(), 99.into());
            Script::new()
                .message(b"\x08\x01")
                .trailers_of(HeaderMap::from_iter([trailers]))
                .respond()
        })
        .await,
        responds(log, layers, "a response whose `grpc-status` is not a number", || {
            let trailers = ("grpc-status".parse().unwrap(), "well".parse().unwrap());
            Script::new()
                .message(b"\x08\x01")
                .trailers_of(HeaderMap::from_iter([trailers]))
                .respond()
        })
        .await,
        responds(log, layers, "a response with an HTTP status instead: 503, `text/html`", || {
            let mut response = stream(0, &Status::ok("")).map(|_| Script::new());
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert("content-type", "text/html".parse().unwrap());
            response
        })
        .await,
        responds(log, layers, "the response body of a service fails", || {
            Script::new()
                .message(b"\x08\x01")
                .error(Status::unavailable("the store is away"))
                .respond()
        })
        .await,
        seen(usual().await, "a request message over the server's limit", MethodKind::Unary, large)
            .await,
        sends(
            usual().await,
            "a request message that is not Protobuf",
            &[grpc],
            b"\0\0\0\0\x02\xff\xff",
        )
        .await,
        sends(usual().await, "a request that ends within a message", &[grpc], b"\0\0\0\0\x09\x08")
            .await,
        sends(
            usual().await,
            "a request with an encoding that the server does not know: `br`",
            &[grpc, ("grpc-encoding", "br")],
            b"\x01\0\0\0\0",
        )
        .await,
        sends(
            usual().await,
            "a request whose message is compressed, without `grpc-encoding`",
            &[grpc],
            b"\x01\0\0\0\0",
        )
        .await,
        sends(
            usual().await,
            "a request with another content type that runs the method: `text/plain`",
            &[("content-type", "text/plain")],
            b"\0\0\0\0\0",
        )
        .await,
    ];
    Section {
        title: "Other endings by the service",
        about: "Streams, what hides a failure behind HTTP 200, and requests that tonic refuses.",
        rows,
    }
}
