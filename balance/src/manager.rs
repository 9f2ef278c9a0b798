//! The task that owns all addresses.

use std::mem;
use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;

use crate::discover::Update;
use crate::event::{Event, TaskEvent};
use crate::slots::{SlotSettings, Slots};
use crate::snapshot::{Snapshot, Unreachable, WhenNoneReady};

/// How many changes of the addresses wait for the manager. The discovery waits for room.
pub(crate) const UPDATES: usize = 16;
/// How many events of connections wait for the manager. The task of an address waits for room; the manager never waits
/// for a task.
const EVENTS: usize = 1024;

/// Receives updates of the addresses and events of their connections, and publishes a snapshot for the calls.
#[derive(Debug)]
pub(crate) struct Manager {
    slots: Slots,
    updates: Receiver<Update>,
    events: Receiver<TaskEvent>,
    /// Makes the resolver resolve the name again.
    resolve_again: Arc<Notify>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    /// Whether the discovery has answered at all.
    discovered: bool,
    discovery_fails: bool,
    /// The last error of an address or of the discovery.
    last_error: Option<Arc<str>>,
}

impl Manager {
    pub(crate) fn new(
        settings: SlotSettings,
        updates: Receiver<Update>,
        resolve_again: Arc<Notify>,
        snapshot: watch::Sender<Arc<Snapshot>>,
    ) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        Self {
            slots: Slots::new(settings, sender),
            updates,
            events,
            resolve_again,
            snapshot,
            discovered: false,
            discovery_fails: false,
            last_error: None,
        }
    }

    /// Runs until the last `Balanced` and the last unanswered call are dropped. Then everything that the manager owns
    /// is dropped: tasks are aborted, and connections close after their running calls.
    pub(crate) async fn run(mut self) {
        let (mut updates, mut events) = (Vec::new(), Vec::new());
        loop {
            tokio::select! {
                () = self.snapshot.closed() => return,
                1.. = self.updates.recv_many(&mut updates, UPDATES) => {
                    updates.drain(..).for_each(|update| self.update(update));
                }
                1.. = self.events.recv_many(&mut events, EVENTS) => {
                    events.drain(..).for_each(|event| self.event(&event));
                }
            }
            self.slots.start_and_stop();
            self.publish();
            // A snapshot costs time in proportion to the addresses: everything that happens meanwhile is in the next one.
            yield_now().await;
        }
    }

    fn update(&mut self, update: Update) {
        self.discovered = true;
        let server = &*self.slots.settings().target;
        match update {
            Update::Change(change) => {
                if mem::take(&mut self.discovery_fails) {
                    tracing::info!(target: "tonic_balance", server, "addresses are discovered again");
                }
                self.slots.change(change);
            }
            Update::Failed(reason) => {
                if !mem::replace(&mut self.discovery_fails, true) {
                    tracing::warn!(
                        target: "tonic_balance",
                        server,
                        reason = &*reason,
                        addresses = self.slots.len(),
                        "no addresses are discovered; the known ones stay in use"
                    );
                }
                self.last_error = Some(reason);
            }
        }
    }

    fn event(&mut self, event: &TaskEvent) {
        if !self.slots.event(event) {
            return;
        }
        if let Event::Failed(reason) | Event::Unhealthy(reason) = &event.event {
            self.last_error = Some(format!("{}: {reason}", event.address).into());
        }
        if !matches!(event.event, Event::Ready(_)) {
            self.resolve_again.notify_one();
        }
    }

    fn publish(&mut self) {
        let ready = self.slots.ready_if_changed();
        let settings = self.slots.settings();
        let when_none_ready = if !self.discovered || self.slots.is_connecting() {
            WhenNoneReady::Wait
        } else {
            WhenNoneReady::Fail(Arc::new(Unreachable {
                target: Arc::clone(&settings.target),
                addresses: self.slots.len(),
                error: self.last_error.clone(),
            }))
        };
        let states = self.slots.states();
        self.snapshot.send_modify(|snapshot| {
            let rotation = match ready {
                Some(ready) => {
                    Arc::new(snapshot.rotation.with_members(ready, &settings.connect.random))
                }
                None => Arc::clone(&snapshot.rotation),
            };
            *snapshot = Arc::new(Snapshot { rotation, when_none_ready, states });
        });
    }
}
