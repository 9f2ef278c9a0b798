//! What the tasks of addresses report to the manager.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use crate::Address;
use crate::connect::Connection;

/// What has happened to the connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// Calls can be sent.
    Ready(Arc<Connection>),
    /// It is open, but the health check says not to use it.
    Unhealthy(Arc<str>),
    /// An attempt has failed.
    Failed(Arc<str>),
    /// It is lost, or the server is about to close it. The next attempt follows.
    Lost(Arc<str>),
}

/// An event of one task. Each task has a number of its own, so that late events of an aborted task are recognized.
#[derive(Debug)]
pub(crate) struct TaskEvent {
    pub(crate) task: u64,
    pub(crate) address: Address,
    pub(crate) event: Event,
}

/// Sends the events of one task.
#[derive(Clone, Debug)]
pub(crate) struct EventSender {
    pub(crate) task: u64,
    pub(crate) address: Address,
    pub(crate) sender: Sender<TaskEvent>,
}

impl EventSender {
    /// Waits while the manager has many events to take.
    pub(crate) async fn send(&self, event: Event) {
        // Without a manager this task is about to be aborted.
        let address = self.address.clone();
        let _ = self.sender.send(TaskEvent { task: self.task, address, event }).await;
    }
}
