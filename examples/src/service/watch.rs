//! `WatchOrder`: where an order stands, then every change, each once.
//!
//! The news of a change only say *that* there is something to read. What it is, is read from the store,
//! from where this watcher left off: so nothing is lost or doubled, whatever order the news come in and
//! however many of them a slow watcher misses.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;

use crate::refusal::{no_such_order, stopping};
use crate::store::Store;
use crate::v1::OrderEvent;

struct Watch {
    store: Store,
    id: String,
    news: Receiver<Arc<str>>,
    /// The place of the last event that was read.
    place: i64,
    /// Read, not sent yet.
    unsent: VecDeque<OrderEvent>,
}

pub(super) async fn watch(
    store: Store,
    id: String,
) -> Result<impl Stream<Item = Result<OrderEvent, Status>> + Send + 'static, Status> {
    // First listen, then look: what happens in between is then read, at the latest, with the first news.
    let news = store.changes();
    let latest = store.latest_event(&id).await?;
    let (place, event) = latest.ok_or_else(|| no_such_order(&id))?;
    let watch = Watch { store, id, news, place, unsent: VecDeque::from([event]) };
    Ok(futures_util::stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(event) => Some((Ok(event), Some(watch))),
            Err(status) => Some((Err(status), None)),
        }
    }))
}

impl Watch {
    async fn next(&mut self) -> Result<OrderEvent, Status> {
        loop {
            if let Some(event) = self.unsent.pop_front() {
                return Ok(event);
            }
            self.changed().await?;
            for (place, event) in self.store.events_after(&self.id, self.place).await? {
                self.place = place;
                self.unsent.push_back(event);
            }
        }
    }

    /// Ends when there may be something to read.
    async fn changed(&mut self) -> Result<(), Status> {
        loop {
            match self.news.recv().await {
                Ok(id) if *id != *self.id => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return Ok(()),
                // Cannot be while the store is here, which sends them.
                Err(RecvError::Closed) => return Err(stopping()),
            }
        }
    }
}
