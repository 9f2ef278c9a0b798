//! The connections that come in, on and on: what keeps one out does not end the server.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::tokio_stream::Stream;

/// What keeps every connection out, such as too many open files, is not over at once; asking again without
/// a pause would burn a core.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    futures_util::stream::unfold(listener, |listener| async {
        let connection = next(&listener).await;
        Some((Ok(connection), listener))
    })
}

async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                // Messages are small, and each is to go out at once. Without it they only go out later.
                _ = connection.set_nodelay(true);
                return connection;
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection; trying again in {PAUSE:?}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// The peer was gone before we came; the next connection is another matter.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}
