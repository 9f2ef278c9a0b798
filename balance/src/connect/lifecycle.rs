//! Whether a connection is opening, open, or over.

use std::sync::Arc;

use tokio::sync::watch;

/// The phase of one connection, shared by its byte stream and its users.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle(Arc<watch::Sender<Phase>>);

#[derive(Clone, Debug)]
enum Phase {
    Opening,
    Open,
    Over(Arc<str>),
}

impl Lifecycle {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Opening)))
    }

    /// The server has sent its SETTINGS.
    pub(super) fn opened(&self) {
        self.0.send_if_modified(|phase| {
            let opening = matches!(phase, Phase::Opening);
            if opening {
                *phase = Phase::Open;
            }
            opening
        });
    }

    /// No new call may be sent on this connection. The first reason stays.
    pub(crate) fn end(&self, reason: &str) {
        self.0.send_if_modified(|phase| {
            let alive = !matches!(phase, Phase::Over(_));
            if alive {
                *phase = Phase::Over(reason.into());
            }
            alive
        });
    }

    /// Whether calls can be sent.
    pub(crate) fn is_open(&self) -> bool {
        matches!(*self.0.borrow(), Phase::Open)
    }

    /// Waits for the SETTINGS of the server. The error is why the connection ended before.
    pub(super) async fn until_open(&self) -> Result<(), Arc<str>> {
        let mut phases = self.0.subscribe();
        // `self` holds the sender, so waiting cannot fail.
        match phases.wait_for(|phase| !matches!(phase, Phase::Opening)).await.as_deref() {
            Ok(Phase::Over(reason)) => Err(Arc::clone(reason)),
            _ => Ok(()),
        }
    }

    /// Waits until the connection is over, and returns why.
    pub(crate) async fn until_over(&self) -> Arc<str> {
        let mut phases = self.0.subscribe();
        match phases.wait_for(|phase| matches!(phase, Phase::Over(_))).await.as_deref() {
            Ok(Phase::Over(reason)) => Arc::clone(reason),
            _ => "the connection has closed".into(),
        }
    }
}
