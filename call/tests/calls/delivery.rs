//! What the errors of tonic's channel prove of a call, when a server sends exactly these frames.

use std::time::Duration;

use http::Request;
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_call::{Delivery, code_of_error, delivery_of_error};
use tonic_call_test_kit::{Event, FrameServer, Received, Reply, Script, to};
use tower::{Service as _, ServiceExt as _};

/// The error codes of HTTP/2 (RFC 9113, "Error Codes").
const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

async fn call(mut channel: Channel) -> (Delivery, Code) {
    let request: Request<Script> = to("/a.B/C");
    let call = async { channel.ready().await?.call(request.map(Body::new)).await };
    // The error is what a test is about; a call that hangs must not hang the test.
    let result = tokio::time::timeout(Duration::from_secs(20), call).await.expect("an end");
    let error = result.expect_err("the server answers no call");
    (delivery_of_error(&error), code_of_error(&error))
}

/// One call of a server that reacts in this way to its connection and its head.
async fn fails(react: impl Fn(Event) -> Vec<Reply> + Send + Sync + 'static) -> (Delivery, Code) {
    let server = FrameServer::start(move |received: &Received| react(received.event)).await;
    call(server.endpoint().connect_lazy()).await
}

fn at_head(send: impl Fn(u32) -> Vec<Reply>) -> impl Fn(Event) -> Vec<Reply> {
    move |event| match event {
        Event::Head(stream) => send(stream),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_stream_that_the_server_refuses_was_not_processed() {
    let refused = fails(at_head(|stream| vec![Reply::Reset(stream, REFUSED_STREAM)])).await;
    assert_eq!(refused, (Delivery::NotProcessed, Code::Unavailable));
}

#[tokio::test]
async fn any_other_reset_may_come_from_a_server_that_has_processed_the_call() {
    for reason in (NO_ERROR..=ENHANCE_YOUR_CALM + 2).filter(|reason| *reason != REFUSED_STREAM) {
        let (delivery, code) =
            fails(at_head(move |stream| vec![Reply::Reset(stream, reason)])).await;
        assert_eq!(delivery, Delivery::Unknown, "{reason} {code:?}");
        assert!(reason != CANCEL || code == Code::Cancelled);
    }
}

#[tokio::test]
async fn a_stream_above_the_last_one_of_a_goaway_was_not_processed() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        for close in [false, true] {
            let end = close.then_some(Reply::Close);
            let refused = fails(at_head(move |stream| {
                let last = stream.saturating_sub(2);
                std::iter::once(Reply::GoAway(last, reason)).chain(end.clone()).collect()
            }));
            let refused = refused.await;
            assert_eq!(refused, (Delivery::NotProcessed, Code::Unavailable), "{reason} {close}");
        }
    }
}

#[tokio::test]
async fn a_stream_up_to_the_last_one_of_a_goaway_may_have_been_processed() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        for above in [0, 2, 100] {
            let lost = fails(at_head(move |stream| {
                vec![Reply::GoAway(stream + above, reason), Reply::Close]
            }));
            let (delivery, code) = lost.await;
            assert_eq!(
                (delivery, code),
                (Delivery::Unknown, Code::Unavailable),
                "{reason} {above}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_after_the_head_proves_nothing() {
    for after_data in [false, true] {
        let lost = fails(move |event| match event {
            Event::Head(_) if !after_data => vec![Reply::Close],
            Event::Data(..) => vec![Reply::Close],
            _ => Vec::new(),
        });
        assert_eq!(lost.await, (Delivery::Unknown, Code::Unavailable), "{after_data}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_no_connection() {
    let server = FrameServer::start(|_| Vec::new()).await;
    let endpoint = server.endpoint();
    drop(server);
    // The port is closed when the task of the server has been dropped.
    while TcpStream::connect(endpoint.uri().authority().unwrap().as_str()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(call(endpoint.connect_lazy()).await, (Delivery::NoConnection, Code::Unavailable));
}

#[tokio::test]
async fn a_request_that_a_closed_connection_has_not_taken_was_never_sent() {
    let (near, _far) = tokio::io::duplex(1_024);
    let (mut sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(near)).await.unwrap();
    drop(connection);
    let error = sender.send_request(to("/a.B/C").map(Body::new)).await.unwrap_err();
    assert_eq!(error.to_string(), "operation was canceled");
    assert_eq!(delivery_of_error(&error), Delivery::NeverSent);
}

#[tokio::test]
async fn a_request_whose_connection_task_is_gone_may_have_been_processed() {
    let (has_arrived, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let server = FrameServer::start(move |received| {
        if let Event::Head(_) = received.event {
            has_arrived.send(()).unwrap();
        }
        Vec::new()
    });
    let server = server.await;
    let address = server.endpoint().uri().authority().unwrap().to_string();
    // With one thread, the tasks of the connection are always dropped in the same order.
    let elsewhere = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let connecting = elsewhere.spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    });
    let mut sender = connecting.await.unwrap();
    let call = tokio::spawn(sender.send_request(to("/a.B/C").map(Body::new)));
    arrived.recv().await.unwrap();
    elsewhere.shutdown_background();
    let error = call.await.unwrap().unwrap_err();
    assert!(error.is_user(), "{error:?}");
    assert_eq!(delivery_of_error(&error), Delivery::Unknown);
}

#[tokio::test]
async fn a_status_of_the_server_proves_nothing() {
    for code in [Code::Unavailable, Code::Cancelled] {
        let status = Status::new(code, "operation was canceled");
        assert_eq!(delivery_of_error(&status), Delivery::Unknown);
    }
}
