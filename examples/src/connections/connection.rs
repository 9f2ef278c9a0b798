//! Serves one connection until it is closed.

use std::pin::{Pin, pin};
use std::time::Duration;

use http_body::Body as HttpBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::transport::server::Connected;

use super::ConnectionLimits;
use super::admission::Slot;
use super::call::CallService;
use super::metrics::CloseReason;
use super::monitored_io::MonitoredIo;
use super::timeouts::{Timeout, Timeouts};

/// Interval of keep-alive pings: the streams of a peer that does not answer are ended.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Flow-control window of a stream, in bytes.
///
/// h2 closes a connection (`ENHANCE_YOUR_CALM`, `too_many_data_frames`) with many small unread frames: it
/// charges 256 bytes less the frame's length for each, against half of the connection's window. A caller that
/// sends small messages at full speed must exhaust its stream's window first: 65,536 / 5 messages of 5 bytes
/// are charged 3.3 MB.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Flow-control window of a connection, in bytes; see [`STREAM_WINDOW`].
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Maximum number of streams on one connection that were reset before they were accepted. h2's default of 20
/// closes the connection, and its other calls with it, after a burst of cancelled calls.
const MAX_PENDING_RESETS: usize = 1000;

fn http2(limits: &ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .keep_alive_interval(KEEPALIVE_INTERVAL);
    http2
}

/// Serves `io` until the peer or the server closes it. When `stop` changes, the server shuts down: the connection
/// accepts no further calls, and closes after the last one.
pub(super) async fn serve<IO, S, B>(
    io: IO,
    service: S,
    slot: Slot,
    limits: ConnectionLimits,
    mut stop: watch::Receiver<()>,
) where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let activity = slot.activity();
    let calls =
        CallService { inner: service, connect_info: io.connect_info(), activity: activity.clone() };
    let io = TokioIo::new(MonitoredIo::new(io, activity.clone()));
    let serving = http2(&limits).serve_connection(io, TowerToHyperService::new(calls));
    let mut serving = pin!(serving);
    let mut timeouts = Timeouts::new(activity, &limits);
    let mut timer = pin!(sleep_until(timeouts.next_check()));
    let mut age = pin!(limits.age.map(|age| sleep(age.draw())));
    let mut stopping = false;
    let reason = loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            () = activity.asked_to_close() => break CloseReason::MadeRoom,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                timeouts.goaway_sent();
                serving.as_mut().graceful_shutdown();
            }
            () = reached(age.as_mut()) => {
                age.set(None);
                // It may have been sent for another reason.
                if !timeouts.is_goaway_sent() {
                    timeouts.goaway_sent();
                    limits.metrics.closed(CloseReason::Aged);
                    serving.as_mut().graceful_shutdown();
                }
            }
            () = timer.as_mut() => match timeouts.expired() {
                None => {}
                Some(Timeout::Preface) => break CloseReason::NoPreface,
                Some(Timeout::Idle) => {
                    timeouts.goaway_sent();
                    limits.metrics.closed(CloseReason::Idle);
                    serving.as_mut().graceful_shutdown();
                }
                // Already counted, or the server shuts down.
                Some(Timeout::Goaway) => return,
            },
        }
        timer.as_mut().reset(timeouts.next_check());
    };
    limits.metrics.closed(reason);
    // Sends what can be sent without waiting: GOAWAY tells the peer that it may retry on another connection.
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = &mut serving => {}
        () = std::future::ready(()) => {}
    }
}

/// Returns at the age; never without one.
async fn reached(age: Pin<&mut Option<Sleep>>) {
    match age.as_pin_mut() {
        Some(age) => age.await,
        None => std::future::pending().await,
    }
}
