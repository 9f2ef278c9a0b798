//! What recovery needs beside its layers: panics told with their place, and each handler's stream guarded.

use tonic::Status;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::Stream;
use tonic_recovery_layer::{RecoverStream, capture_panics_quietly};

/// To be called once, when the process starts: a recovered panic is then told with its place, as an event.
pub fn capture() {
    capture_panics_quietly();
}

/// A handler's stream: if it panics, what it had sent before still arrives, and then a status.
pub fn stream<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<T> {
    Box::pin(RecoverStream::new(stream))
}
