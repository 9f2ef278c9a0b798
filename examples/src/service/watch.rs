//! Watches an order: the latest event of an order, then every further event, each once.
//!
//! A notification only says *that* the order has changed. The events are read from the store, after the last event
//! that this watcher has read: so none is lost or repeated, in whatever order notifications arrive and however
//! many of them a slow watcher misses.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use crate::status::{order_not_found, stopping};
use crate::store::{Event, Store};

struct Watch {
    store: Store,
    id: String,
    changes: Receiver<Arc<str>>,
    /// The sequence number of the last event that was read.
    seq: i64,
    /// Events that were read and not sent yet.
    unsent: VecDeque<Event>,
}

pub(super) async fn watch(
    store: Store,
    id: String,
) -> Result<impl Stream<Item = Result<Event, Status>> + Send + 'static, Status> {
    // Subscribe before reading: an event in between is read at the next notification.
    let changes = store.changes();
    let latest = store.latest_event(&id).await?;
    let (seq, event) = latest.ok_or_else(|| order_not_found(&id))?;
    let watch = Watch { store, id, changes, seq, unsent: VecDeque::from([event]) };
    Ok(futures_util::stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(event) => Some((Ok(event), Some(watch))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

impl Watch {
    async fn next(&mut self) -> Result<Event, Status> {
        loop {
            if let Some(event) = self.unsent.pop_front() {
                return Ok(event);
            }
            self.changed().await?;
            for (seq, event) in self.store.events_after(&self.id, self.seq).await? {
                self.seq = seq;
                self.unsent.push_back(event);
            }
        }
    }

    /// Returns when there may be new events.
    async fn changed(&mut self) -> Result<(), Status> {
        loop {
            match self.changes.recv().await {
                Ok(id) if *id != *self.id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return Ok(()),
                // Cannot happen: the store owns the sender.
                Err(RecvError::Closed) => return Err(stopping()),
            }
        }
    }
}
