use std::sync::Arc;

use http::request;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tonic_call::{BoxError, Deadline, MethodTable, ReplayBudget, Rpc, WaitForReady};

use crate::connect::Connection;
use crate::snapshot::Snapshot;
use crate::state::Hooks;

/// Where calls get their connections. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) hooks: Hooks,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) budget: ReplayBudget,
}

/// Which calls wait for a connection, if they have no [`WaitForReady`] extension.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// By the service config.
    pub(crate) methods: MethodTable<Option<bool>>,
    /// All others.
    pub(crate) default: bool,
}

/// Why a call gets no connection.
pub(super) enum NoConnection {
    DeadlinePassed(String),
    Failed(BoxError),
}

impl Connections {
    /// The connection whose turn it is, if there is one; not to the address of the one that has failed, if there is
    /// another.
    pub(super) fn pick(&self, failed: Option<&Connection>) -> Option<Arc<Connection>> {
        let snapshot = self.snapshots.borrow();
        let other = failed.and_then(|failed| {
            snapshot.rotation.pick_if(|connection| connection.address != failed.address)
        });
        other.or_else(|| snapshot.pick()).cloned()
    }

    /// Waits for a connection while one is being made, or if the call wants to wait.
    pub(super) async fn wait(
        &mut self,
        head: &request::Parts,
        deadline: Option<Deadline>,
    ) -> Result<Arc<Connection>, NoConnection> {
        let waits = self.waiting.of(head);
        let ready = self.ready(waits);
        match deadline {
            None => ready.await,
            Some(deadline) => match timeout_at(deadline.instant(), ready).await {
                Ok(result) => result,
                Err(_) => Err(NoConnection::DeadlinePassed(self.why_not_ready())),
            },
        }
    }

    async fn ready(&mut self, waits: bool) -> Result<Arc<Connection>, NoConnection> {
        loop {
            {
                let snapshot = self.snapshots.borrow_and_update();
                if let Some(connection) = snapshot.pick() {
                    return Ok(Arc::clone(connection));
                }
                if let Some(failure) = snapshot.failure()
                    && !waits
                {
                    return Err(NoConnection::Failed(Box::new(Arc::clone(failure))));
                }
            }
            if self.snapshots.changed().await.is_err() {
                return Err(NoConnection::Failed("the balancer's runtime has shut down".into()));
            }
        }
    }

    fn why_not_ready(&self) -> String {
        match self.snapshots.borrow().failure() {
            Some(failure) => {
                format!("the deadline has passed while waiting for a connection: {failure}")
            }
            None => "the deadline has passed while waiting for a connection".to_owned(),
        }
    }
}

impl Waiting {
    fn of(&self, head: &request::Parts) -> bool {
        match WaitForReady::of(&head.extensions) {
            Some(WaitForReady(waits)) => waits,
            None => self.methods.get(&Rpc::from_head(head)).unwrap_or(self.default),
        }
    }
}
