use std::sync::Arc;

use http::Uri;
use tokio::sync::watch;
use tokio::time::timeout_at;
use tonic_call::{BoxError, MethodTable, ReplayBudget, Rpc};

use super::caller::Caller;
use crate::address::Address;
use crate::connect::Connection;
use crate::snapshot::Snapshot;
use crate::state::Hooks;

/// Where calls get their connections. All calls of a balancer share it.
pub(crate) struct Connections {
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(crate) hooks: Hooks,
    pub(crate) waiting: Waiting,
    pub(crate) budget: ReplayBudget,
}

/// Which calls wait for a connection, if they do not say it themselves.
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
    /// The connection whose turn it is, if there is one; not to an address that has failed, if there is another, and
    /// not to the last that has failed, if all have.
    pub(super) fn pick(&self, failed: &[Address]) -> Option<Arc<Connection>> {
        let snapshot = self.snapshots.borrow();
        let other = failed.last().and_then(|last| {
            let pick_if = |is_good: &dyn Fn(&Address) -> bool| {
                snapshot.rotation.pick_if(|connection| is_good(&connection.address))
            };
            pick_if(&|address| !failed.contains(address))
                .or_else(|| pick_if(&|address| address != last))
        });
        other.or_else(|| snapshot.pick()).cloned()
    }

    /// Waits for a connection while one is being made, or if the call wants to wait.
    pub(super) async fn wait(
        &self,
        caller: &Caller,
        path: &Uri,
    ) -> Result<Arc<Connection>, NoConnection> {
        let ready =
            self.ready(caller.waits_for_ready.unwrap_or_else(|| self.waiting.by_default(path)));
        match caller.deadline {
            None => ready.await,
            Some(deadline) => match timeout_at(deadline.instant(), ready).await {
                Ok(result) => result,
                Err(_) => Err(NoConnection::DeadlinePassed(self.why_not_ready())),
            },
        }
    }

    async fn ready(&self, waits: bool) -> Result<Arc<Connection>, NoConnection> {
        let mut snapshots = self.snapshots.clone();
        loop {
            {
                let snapshot = snapshots.borrow_and_update();
                if let Some(connection) = snapshot.pick() {
                    return Ok(Arc::clone(connection));
                }
                if let Some(failure) = snapshot.failure()
                    && !waits
                {
                    return Err(NoConnection::Failed(Box::new(Arc::clone(failure))));
                }
            }
            if snapshots.changed().await.is_err() {
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
    fn by_default(&self, uri: &Uri) -> bool {
        self.methods.get(&Rpc::from_uri(uri)).unwrap_or(self.default)
    }
}
