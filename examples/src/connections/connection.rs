//! One connection, from its first byte until it is closed.

use std::pin::pin;
use std::time::Duration;

use http_body::Body as HttpBody;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep_until;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};
use tonic::transport::server::Connected;

use super::Connections;
use super::admission::Place;
use super::call::Calls;
use super::counts::{self, Why};
use super::monitored::Monitored;
use super::patience::{Over, Patience};

/// A peer that is gone without a word is noticed after so long, and its streams end.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Bytes of one stream that may wait to be read.
///
/// h2 closes a connection (`ENHANCE_YOUR_CALM`, `too_many_data_frames`) when the frames that wait on it are
/// small and many: each is charged 256 bytes less its length, against half of the connection's window. A
/// caller that sends small messages as fast as it can must reach the end of its stream's window before
/// that: 65,536 / 5 messages of 5 bytes are charged 3.3 MB.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes of one connection that may wait to be read; see [`STREAM_WINDOW`].
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// Calls on one connection that were cancelled before we have seen them. By default 20 of them close the
/// connection, and with it the calls that are good.
const CANCELLED_UNSEEN: usize = 1000;

fn http2(settings: &Connections) -> http2::Builder<TokioExecutor> {
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(settings.streams)
        .max_pending_accept_reset_streams(CANCELLED_UNSEEN)
        .keep_alive_interval(KEEPALIVE);
    http2
}

/// Serves on `io`, which has that `place`, until the peer or this side ends it. `stop` changes when the server
/// goes down: then it takes no new call, and ends with its last.
pub(super) async fn serve<IO, S, B>(
    io: IO,
    service: S,
    place: Place,
    settings: Connections,
    mut stop: watch::Receiver<()>,
) where
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let activity = place.activity();
    let calls =
        Calls { inner: service, connect_info: io.connect_info(), activity: activity.clone() };
    let io = TokioIo::new(Monitored::new(io, activity.clone()));
    let serving = http2(&settings).serve_connection(io, TowerToHyperService::new(calls));
    let mut serving = pin!(serving);
    let mut patience = Patience::new(activity, &settings);
    let mut timer = pin!(sleep_until(patience.next()));
    let mut stopping = false;
    let why = loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection failed");
                }
                return;
            }
            () = activity.gives_way() => break Why::GaveWay,
            _ = stop.changed(), if !stopping => {
                stopping = true;
                patience.goodbye();
                serving.as_mut().graceful_shutdown();
            }
            () = timer.as_mut() => match patience.is_over() {
                None => {}
                Some(Over::Silent) => break Why::Silent,
                Some(Over::Idle) => {
                    patience.goodbye();
                    counts::closed(Why::Idle);
                    serving.as_mut().graceful_shutdown();
                }
                // It was counted, or the server goes down.
                Some(Over::Goodbye) => return,
            },
        }
        timer.as_mut().reset(patience.next());
    };
    counts::closed(why);
    // What can be sent without waiting: a GOAWAY tells the peer that it may call again elsewhere.
    serving.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        _ = &mut serving => {}
        () = std::future::ready(()) => {}
    }
}
