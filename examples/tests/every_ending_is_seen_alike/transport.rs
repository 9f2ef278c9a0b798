//! What a client shows if the transport fails, or a server answers with something else than gRPC.

use tonic::Code;
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{Event, FrameServer, Received, Reply, ask, listen};

use crate::calls_out::Client;
use crate::observed::{Layers, Log};
use crate::table::{Row, Section};

/// A message as the service of the test kit sends it.
pub(crate) const NOTE: &[u8] = b"\x08\x01";

const NO_ERROR: u32 = 0;

/// The error codes of HTTP/2 (RFC 9113, section 7).
const RESETS: [(u32, &str); 8] = [
    (0, "NO_ERROR"),
    (1, "PROTOCOL_ERROR"),
    (2, "INTERNAL_ERROR"),
    (3, "FLOW_CONTROL_ERROR"),
    (7, "REFUSED_STREAM"),
    (8, "CANCEL"),
    (11, "ENHANCE_YOUR_CALM"),
    (12, "INADEQUATE_SECURITY"),
];

async fn answered(
    log: &Log,
    layers: Layers,
    ending: &str,
    replies: impl Fn(u32) -> Vec<Reply> + Send + Sync + 'static,
) -> Row {
    let server = FrameServer::start(move |received: &Received| match received.event {
        Event::Data(stream, true) => replies(stream),
        _ => Vec::new(),
    });
    let server = server.await;
    let client = Client::of(log, layers, &server.endpoint(), "{}");
    client.call(ending, MethodKind::ServerStream, ask(Act::Unspecified, 0)).await
}

/// Nobody listens on the port.
async fn refused(log: &Log, layers: Layers) -> Row {
    let (incoming, endpoint) = listen();
    drop(incoming);
    let client = Client::of(log, layers, &endpoint, "{}");
    client.call("nobody listens on the port", MethodKind::Unary, ask(Act::Unspecified, 0)).await
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let message = |stream| vec![Reply::Head(stream), Reply::Message(stream, NOTE)];
    let mut rows = vec![
        answered(log, layers, "the server answers well", move |stream| {
            [message(stream), vec![Reply::Trailers(stream, Code::Ok)]].concat()
        })
        .await,
        refused(log, layers).await,
        answered(log, layers, "the connection closes before the head", |_| vec![Reply::Close])
            .await,
        answered(log, layers, "the connection closes after a message", move |stream| {
            [message(stream), vec![Reply::Close]].concat()
        })
        .await,
        answered(
            log,
            layers,
            "GOAWAY before the head: the server has not processed the call",
            |_| vec![Reply::GoAway(0, NO_ERROR), Reply::Close],
        )
        .await,
        answered(
            log,
            layers,
            "GOAWAY before the head, while the server finishes the call",
            move |stream| {
                let end = vec![Reply::Trailers(stream, Code::Ok), Reply::Close];
                [vec![Reply::GoAway(stream, NO_ERROR)], message(stream), end].concat()
            },
        )
        .await,
        answered(log, layers, "GOAWAY with `ENHANCE_YOUR_CALM`", |stream| {
            vec![Reply::GoAway(stream, 11), Reply::Close]
        })
        .await,
    ];
    for (code, name) in RESETS {
        let ending = format!("the server resets the stream before the head: `{name}`");
        rows.push(
            answered(log, layers, &ending, move |stream| vec![Reply::Reset(stream, code)]).await,
        );
    }
    for (code, name) in [RESETS[2], RESETS[5]] {
        let ending = format!("the server resets the stream after a message: `{name}`");
        let replies = move |stream| [message(stream), vec![Reply::Reset(stream, code)]].concat();
        rows.push(answered(log, layers, &ending, replies).await);
    }
    Section {
        title: "Transport faults, seen by a client",
        about: "A client with all layers, without a retry policy, calls a server that sends exactly these frames.",
        rows,
    }
}
