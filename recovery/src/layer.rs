use std::fmt;
use std::sync::Arc;

use tonic::Status;
use tonic_call::{Side, SideCheck};
use tower_layer::Layer;

use crate::context::Handler;
use crate::panic::Panic;
use crate::service::Recover;

/// Turns panics into gRPC statuses: see the [crate's page](crate).
#[derive(Clone)]
pub struct RecoveryLayer {
    side: Side,
    handler: Option<Handler>,
    side_check: Arc<SideCheck>,
}

impl RecoveryLayer {
    /// The same as [`server`](Self::server). Around a channel it does not guard the request stream: use
    /// [`client`](Self::client) there.
    pub fn new() -> Self {
        Self::server()
    }

    /// Recovers panics in a server: in handlers, their streams, and inner layers.
    pub fn server() -> Self {
        Self::of(Side::Server)
    }

    /// Recovers panics in a client's calls: in inner layers, and in the stream of messages that the caller
    /// sends. Such a stream would otherwise end the connection, with all calls on it.
    pub fn client() -> Self {
        Self::of(Side::Client)
    }

    fn of(side: Side) -> Self {
        Self { side, handler: None, side_check: Arc::default() }
    }

    /// Sets the function that creates the status for the caller. The default is `INTERNAL` with the message
    /// `internal error`.
    ///
    /// It is called once for each panic, also for a panic in a destructor, whose status is not sent. The
    /// panic's message is meant for the operator: it may contain internal data. If the function returns `OK` or
    /// panics, the default status is used.
    #[must_use]
    pub fn with_handler(
        self,
        handler: impl Fn(&Panic<'_>) -> Status + Send + Sync + 'static,
    ) -> Self {
        Self { handler: Some(Arc::new(handler)), ..self }
    }
}

impl Default for RecoveryLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RecoveryLayer {
    type Service = Recover<S>;

    fn layer(&self, inner: S) -> Recover<S> {
        Recover::new(inner, self.side, self.handler.clone(), Arc::clone(&self.side_check))
    }
}

impl fmt::Debug for RecoveryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryLayer").field("side", &self.side).finish_non_exhaustive()
    }
}
