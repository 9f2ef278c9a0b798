use std::sync::Arc;
use std::time::Duration;

use tonic_call::{GrpcService, Methods, SideCheck};
use tower_layer::Layer;

use super::deadlines::ClientDeadlines;
use super::limits::{Limits, Settings};
use super::service::DeadlineChannel;

/// Sets and enforces the deadlines of a client's calls: see the [crate's page](crate). Made by
/// [`DeadlineLayer::client`](crate::DeadlineLayer::client).
///
#[doc = include_str!("../../docs/propagation.md")]
#[derive(Clone, Debug)]
pub struct ClientDeadlineLayer {
    settings: Settings,
    side_check: Arc<SideCheck>,
}

impl ClientDeadlineLayer {
    pub(crate) fn new(deadlines: ClientDeadlines) -> Self {
        let settings = Settings { deadlines, methods: None, margin: Duration::ZERO };
        Self { settings, side_check: Arc::default() }
    }

    /// The kinds of the methods. A limit for unary methods needs this: without it, it limits nothing, and
    /// [`layer`](Layer::layer) logs a warning.
    #[must_use]
    pub fn methods(mut self, methods: &Methods) -> Self {
        self.settings.methods = Some(methods.clone());
        self
    }

    /// How much earlier than the inbound call the calls it makes must end, so that its handler has time left to
    /// answer. The default is zero.
    #[must_use]
    pub fn margin(mut self, margin: Duration) -> Self {
        self.settings.margin = margin;
        self
    }
}

impl<S: GrpcService> Layer<S> for ClientDeadlineLayer {
    type Service = DeadlineChannel<S>;

    fn layer(&self, inner: S) -> DeadlineChannel<S> {
        if self.settings.methods.is_none() && self.settings.deadlines.need_kinds() {
            tracing::warn!(
                target: "tonic_deadline_layer",
                "a deadline for unary methods limits no call, because the kinds of the methods are not known: \
                 set `DeadlineLayer::client(..).methods(..)`"
            );
        }
        DeadlineChannel::new(
            inner,
            Arc::new(Limits::new(self.settings.clone())),
            Arc::clone(&self.side_check),
        )
    }
}
