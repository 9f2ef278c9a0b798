//! Where panic recovery is put on: the server's layer, the client's layer, and each handler's stream.

use tonic::Status;
use tonic::codegen::BoxStream;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::Channel;
use tonic_call::BoxChannel;
use tonic_recovery_layer::{RecoverStream, RecoveryLayer, capture_panics_quietly};
use tower::ServiceBuilder;

/// What `orders call` sends its calls through.
pub type ClientChannel = BoxChannel;

/// To be called once, when the process starts: a recovered panic is then told with its place, as an event.
pub fn capture() {
    capture_panics_quietly();
}

/// Outermost on the server: a panic in a handler becomes a status.
pub fn server_layer() -> RecoveryLayer {
    RecoveryLayer::server()
}

/// The client's side of it: a panic in what makes requests does not take the connection along.
pub fn client(channel: Channel) -> ClientChannel {
    let layers = ServiceBuilder::new().layer(RecoveryLayer::client());
    BoxChannel::new(layers.service(channel))
}

/// A handler's stream: if it panics, what it had sent before still arrives, and then a status.
pub fn stream<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
) -> BoxStream<T> {
    Box::pin(RecoverStream::new(stream))
}
