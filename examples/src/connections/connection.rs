//! Serves one connection until it is closed.

use std::pin::{Pin, pin};

use http_body::Body as HttpBody;
use hyper_util::rt::TokioIo;
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
use super::protocols;
use super::timeouts::{Timeout, Timeouts};

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
    let protocols = protocols::of(&limits);
    let serving = protocols.serve_connection(io, TowerToHyperService::new(calls));
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
