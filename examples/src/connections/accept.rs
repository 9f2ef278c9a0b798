//! Takes connections from the listener, on and on: what keeps one out does not end the server.

use std::io::{self, ErrorKind};
use std::time::Duration;

use http_body::Body as HttpBody;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Bytes, Service, StdError};

use super::Connections;
use super::admission::Admission;
use super::connection;
use super::counts::{self, Why};

/// What keeps every connection out, such as too many open files, is not over at once; asking again without
/// a pause would burn a core.
const PAUSE: Duration = Duration::from_secs(1);

/// How long those that give way are waited for when there are too many open files.
const SHORT_PAUSE: Duration = Duration::from_millis(50);

/// Nobody fills the log by coming again and again.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Serves `service` on the connections of `listener` until `stop` ends, and then until they have ended. Nobody
/// listens then any more, so that new clients are refused at once.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    settings: Connections,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    counts::begin();
    let (tell, told) = watch::channel(());
    tokio::select! {
        biased;
        () = stop => {}
        never = accept(&listener, service, &settings, &told) => match never {},
    }
    drop((listener, told));
    // Without connections there is nobody to tell.
    _ = tell.send(());
    tell.closed().await;
}

async fn accept<S, B>(
    listener: &TcpListener,
    service: S,
    settings: &Connections,
    stop: &watch::Receiver<()>,
) -> std::convert::Infallible
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let admission = Admission::at_most(settings.at_most);
    let (mut warned_full, mut warned_error) = (None, None);
    loop {
        let connection = next(listener, &admission, &mut warned_error).await;
        let Some(place) = admission.place().await else {
            counts::closed(Why::Full);
            if is_due(&mut warned_full, WARN_EVERY) {
                let at_most = settings.at_most;
                tracing::warn!(
                    at_most,
                    "too many connections, all with calls: new ones are closed"
                );
            }
            continue;
        };
        let (service, settings, stop) = (service.clone(), settings.clone(), stop.clone());
        tokio::spawn(connection::serve(connection, service, place, settings, stop));
    }
}

async fn next(
    listener: &TcpListener,
    admission: &Admission,
    warned: &mut Option<Instant>,
) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                // Messages are small, and each is to go out at once. Without it they only go out later.
                _ = connection.set_nodelay(true);
                return connection;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let pause = if admission.make_room() > 0 { SHORT_PAUSE } else { PAUSE };
                if is_due(warned, PAUSE) {
                    tracing::warn!(%error, "cannot take a connection; trying again in {pause:?}");
                }
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Whether it is time for another line of the log.
fn is_due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// The peer was gone before we came; the next connection is another matter.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
