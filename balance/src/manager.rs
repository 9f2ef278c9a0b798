//! The one task that knows all addresses.

use std::mem;
use std::sync::Arc;

use indexmap::IndexMap;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use crate::connect::Connection;
use crate::discover::{Change, Update};
use crate::picture::{Otherwise, Picture, Unreachable};
use crate::slot::{self, AbortOnDrop, Event, Events, Line, SlotEvent};
use crate::state::{Hooks, TrackedState};
use crate::{Address, Policy, State};

/// What the balancer is built from.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The host and port of the endpoint.
    pub(crate) target: Arc<str>,
    pub(crate) line: Line,
    pub(crate) policy: Policy,
    pub(crate) hooks: Hooks,
}

/// Takes updates of the addresses and events of their connections, and publishes the picture that calls see.
#[derive(Debug)]
pub(crate) struct Manager {
    parts: Parts,
    updates: Receiver<Update>,
    /// Asks the resolver.
    resolve_again: Arc<Notify>,
    /// Given to each slot.
    sender: UnboundedSender<SlotEvent>,
    events: UnboundedReceiver<SlotEvent>,
    picture: watch::Sender<Arc<Picture>>,
    slots: IndexMap<Address, Slot>,
    tasks_started: u64,
    /// Whether the discovery has answered at all.
    discovered: bool,
    /// The last error of an address or of the discovery.
    last_error: Option<Arc<str>>,
    discovery_fails: bool,
}

#[derive(Debug)]
struct Slot {
    /// The number of its latest task.
    number: u64,
    state: TrackedState,
    connection: Option<Arc<Connection>>,
    /// `None` while the policy has no use for this address.
    task: Option<AbortOnDrop>,
}

impl Manager {
    pub(crate) fn new(
        parts: Parts,
        updates: Receiver<Update>,
        resolve_again: Arc<Notify>,
        picture: watch::Sender<Arc<Picture>>,
    ) -> Self {
        let (sender, events) = unbounded_channel();
        Self {
            parts,
            updates,
            resolve_again,
            sender,
            events,
            picture,
            slots: IndexMap::new(),
            tasks_started: 0,
            discovered: false,
            last_error: None,
            discovery_fails: false,
        }
    }

    /// Until nobody looks at the picture any more. Then all that belongs to it is dropped, its tasks are aborted, and
    /// connections close after their running calls.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.picture.closed() => return,
                Some(update) = self.updates.recv() => self.update(update),
                Some(event) = self.events.recv() => self.event(event),
            }
            // One picture for all that has happened meanwhile.
            while let Ok(event) = self.events.try_recv() {
                self.event(event);
            }
            self.start_and_stop();
            self.publish();
        }
    }

    fn update(&mut self, update: Update) {
        self.discovered = true;
        match update {
            Update::Change(change) => {
                if mem::take(&mut self.discovery_fails) {
                    tracing::info!(
                        target: "tonic_balance",
                        server = &*self.parts.target,
                        "addresses are discovered again"
                    );
                }
                self.change(change);
            }
            Update::Failed(reason) => {
                if !mem::replace(&mut self.discovery_fails, true) {
                    tracing::warn!(
                        target: "tonic_balance",
                        server = &*self.parts.target,
                        reason = &*reason,
                        addresses = self.slots.len(),
                        "no addresses are discovered; those that are known stay in use"
                    );
                }
                self.last_error = Some(reason);
            }
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Add(address) => {
                if !self.slots.contains_key(&address) {
                    let slot = self.slot(&address);
                    self.slots.insert(address, slot);
                }
            }
            Change::Remove(address) => drop(self.slots.shift_remove(&address)),
            Change::Replace(addresses) => {
                let mut before = mem::take(&mut self.slots);
                for address in addresses {
                    if !self.slots.contains_key(&address) {
                        let slot = before.swap_remove(&address);
                        let slot = slot.unwrap_or_else(|| self.slot(&address));
                        self.slots.insert(address, slot);
                    }
                }
            }
        }
    }

    fn slot(&self, address: &Address) -> Slot {
        let (target, hooks) = (Arc::clone(&self.parts.target), self.parts.hooks.clone());
        Slot {
            number: 0,
            state: TrackedState::new(target, address.clone(), hooks),
            connection: None,
            task: None,
        }
    }

    fn event(&mut self, SlotEvent { task, address, event }: SlotEvent) {
        // A task may have said something before it was ended.
        let slot = self.slots.get_mut(&address);
        let Some(slot) = slot.filter(|slot| slot.number == task && slot.task.is_some()) else {
            return;
        };
        match event {
            Event::Ready(connection) => {
                slot.connection = Some(connection);
                slot.state.set(State::Ready, None);
            }
            Event::Lost(reason) => {
                slot.connection = None;
                slot.state.set(State::Connecting, Some(&reason));
                self.resolve_again.notify_one();
            }
            Event::Failed(reason) | Event::Unhealthy(reason) => {
                slot.connection = None;
                slot.state.set(State::TransientFailure, Some(&reason));
                self.last_error = Some(format!("{address}: {reason}").into());
                self.resolve_again.notify_one();
            }
        }
    }

    /// Connects to the addresses that the policy has a use for, and to no others.
    fn start_and_stop(&mut self) {
        let first_connected = self.slots.values().position(|slot| slot.connection.is_some());
        for (index, (address, slot)) in self.slots.iter_mut().enumerate() {
            let is_wanted = match self.parts.policy {
                Policy::RoundRobin => true,
                Policy::PickFirst => first_connected.is_none_or(|first| first == index),
            };
            if !is_wanted {
                slot.task = None;
                slot.connection = None;
                slot.state.set(State::Idle, None);
                continue;
            }
            if slot.task.is_none() {
                slot.state.set(State::Connecting, None);
                self.tasks_started += 1;
                slot.number = self.tasks_started;
                let events = Events {
                    task: slot.number,
                    address: address.clone(),
                    sender: self.sender.clone(),
                };
                slot.task = Some(slot::spawn(self.parts.line.clone(), events));
            }
            // The next one only after this one has failed.
            let is_tried = self.parts.policy == Policy::PickFirst && first_connected.is_none();
            if is_tried && slot.state.get() == State::Connecting {
                break;
            }
        }
    }

    fn publish(&self) {
        let ready: Vec<_> =
            self.slots.values().filter_map(|slot| slot.connection.clone()).collect();
        let is_connecting = !self.discovered
            || self.slots.values().any(|slot| slot.state.get() == State::Connecting);
        let otherwise = if is_connecting {
            Otherwise::Wait
        } else {
            Otherwise::Fail(Arc::new(Unreachable {
                target: Arc::clone(&self.parts.target),
                addresses: self.slots.len(),
                error: self.last_error.clone(),
            }))
        };
        let states = self.slots.iter().map(|(address, slot)| (address.clone(), slot.state.get()));
        let states = states.collect();
        self.picture.send_modify(|picture| {
            let rotation = if picture.rotation.consists_of(&ready) {
                Arc::clone(&picture.rotation)
            } else {
                Arc::new(picture.rotation.with_members(ready, &self.parts.line.random))
            };
            *picture = Arc::new(Picture { rotation, otherwise, states });
        });
    }
}
