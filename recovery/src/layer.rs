use std::fmt;
use std::sync::Arc;

use tonic::Status;
use tonic_call::{Side, SideCheck};
use tower_layer::Layer;

use crate::context::Handler;
use crate::panic::Panic;
use crate::service::Recover;

/// Turns a panic into a status: see the [crate's page](crate).
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

    /// Recovers what panics inside a server: handlers, their streams, and layers further in.
    pub fn server() -> Self {
        Self::of(Side::Server)
    }

    /// Recovers what panics in a client's calls: layers further in, and the stream of messages that
    /// the caller sends, which would otherwise take the connection and all calls on it along.
    pub fn client() -> Self {
        Self::of(Side::Client)
    }

    fn of(side: Side) -> Self {
        Self { side, handler: None, side_check: Arc::default() }
    }

    /// Chooses what the caller is told; by default `INTERNAL` and a fixed text.
    ///
    /// Called once for each panic, also for those in destructors, of whose status nobody is told.
    /// The panic's message is for the operator: it may hold whatever the program held. A status
    /// that says `OK`, and a panic in the handler itself, become the default.
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
