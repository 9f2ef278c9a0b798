//! HTTP/2, and HTTP/1.1 for browsers and `curl`: which one a connection speaks is seen from its first bytes.

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

use super::ConnectionLimits;

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

/// Size of the buffer of an HTTP/1.1 connection, which limits the head of a request. hyper's default is more than six
/// times as large.
const HTTP1_BUFFER: usize = 64 * 1024;

/// Serves the protocols that the limits accept.
pub(super) fn of(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_reset_streams as usize)
        .max_header_list_size(limits.max_header_bytes)
        .keep_alive_interval(KEEPALIVE_INTERVAL);
    // There is no timeout for the head: a connection without a call is closed as an idle one.
    http.http1().max_buf_size(HTTP1_BUFFER).header_read_timeout(None);
    if limits.http1 { http } else { http.http2_only() }
}
