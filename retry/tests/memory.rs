//! The memory of many slow streams with the limits that a layer has by default, as the allocator counts it.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::code_of_head;
use tonic_call_test_kit::{Script, to};
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::{Layer as _, Service};

const CALLS: usize = 1_000;
const FRAME: usize = 16 * 1024;
/// The default of `RetryLayer::total_bytes`.
const TOTAL: usize = 16 * 1024 * 1024;
/// For what a call needs besides its request: less than one frame of it.
const PER_CALL: usize = 8 * 1024;

/// A stream whose frames come one by one: each is made when it is read, and the next one comes later.
struct Slow {
    left: usize,
    waits: bool,
}

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.waits = !self.waits;
        if self.waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![7; FRAME])))))
    }
}

/// Reads some frames of the first attempt, all of the others, and keeps none. Only the last attempt succeeds.
#[derive(Clone, Default)]
struct Fails {
    reads: usize,
}

impl Service<Request<Body>> for Fails {
    type Response = Response<Script>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Script>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let attempts = request.headers().get("grpc-previous-rpc-attempts").cloned();
        let reads = if attempts.is_none() { self.reads } else { usize::MAX };
        let mut body = request.into_body();
        Box::pin(async move {
            let mut read = 0;
            while read < reads
                && let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                frame?;
                read += 1;
            }
            let code =
                if attempts.is_some_and(|n| n == "3") { Code::Ok } else { Code::Unavailable };
            Ok(Status::new(code, read.to_string()).into_http().map(|()| Script::new().says_end()))
        })
    }
}

/// How calls that were made at once have ended.
struct Outcome {
    succeeded: usize,
    /// The most memory that the layer has reported.
    reported: usize,
    /// The most memory that was allocated.
    allocated: usize,
}

/// Makes calls that send this number of frames, on one thread.
fn calls(frames: usize, limit: impl FnOnce(RetryLayer) -> RetryLayer) -> Outcome {
    let json = r#"{"methodConfig": [{"name": [{}], "retryPolicy": {
        "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s",
        "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]
    }}]}"#;
    let layer = limit(RetryLayer::new(&ServiceConfig::from_json(json).unwrap()));
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (mut succeeded, mut reported) = (0, 0);
    let memory = allocation_counter::measure(|| {
        runtime.block_on(async {
            let mut calls = JoinSet::new();
            for _ in 0..CALLS {
                let mut channel = layer.layer(Fails { reads: frames / 2 });
                let layer = layer.clone();
                calls.spawn(async move {
                    let request = to("/a.B/C").map(|_: Script| Slow { left: frames, waits: false });
                    let response = channel.call(request).await.unwrap();
                    (code_of_head(&response), layer.used_bytes())
                });
            }
            while let Some(ended) = calls.join_next().await {
                let (code, used) = ended.unwrap();
                succeeded += usize::from(code == Some(Code::Ok));
                reported = reported.max(used);
            }
        });
    });
    assert_eq!(layer.used_bytes(), 0, "none is left behind");
    Outcome { succeeded, reported, allocated: memory.bytes_max as usize }
}

#[test]
fn a_thousand_slow_streams_use_no_more_than_the_memory_for_all_calls() {
    // 160 KiB each: 156 MiB in all, if all were kept.
    let outcome = calls(10, |layer| layer);
    let Outcome { succeeded, reported, allocated } = outcome;
    assert!((TOTAL * 9 / 10..=TOTAL).contains(&reported), "{reported}");
    assert!((reported..=TOTAL + CALLS * PER_CALL).contains(&allocated), "{allocated}");
    // Those with memory succeed, and there may be more of them once it is free again.
    assert!((TOTAL / (11 * FRAME)..CALLS).contains(&succeeded), "{succeeded}");
}

#[test]
fn a_stream_that_is_longer_than_the_memory_for_a_call_uses_no_more_than_that() {
    // 320 KiB each, of which the first attempt reads a half.
    let outcome = calls(20, |layer| layer.total_bytes(usize::MAX));
    assert_eq!(outcome.succeeded, 0, "256 KiB are not enough");
    // Without the limit for a call, as many bytes as are sent.
    let unlimited = calls(20, |layer| layer.total_bytes(usize::MAX).call_bytes(usize::MAX));
    assert_eq!(unlimited.succeeded, CALLS);
    assert!(unlimited.allocated >= CALLS * 20 * FRAME, "{}", unlimited.allocated);
    assert!(outcome.allocated <= CALLS * (256 * 1024 + PER_CALL), "{}", outcome.allocated);
}
