//! All addresses, and which of them are connected to.

use std::mem;
use std::sync::Arc;

use indexmap::IndexMap;
use tokio::sync::mpsc::Sender;

use crate::connect::Connection;
use crate::discover::Change;
use crate::event::{Event, EventSender, TaskEvent};
use crate::state::{Hooks, TrackedState};
use crate::task::{self, AbortOnDrop, ConnectSettings};
use crate::{Address, Policy, State};

/// The addresses, in the order of the list.
#[derive(Debug)]
pub(crate) struct Slots {
    settings: SlotSettings,
    /// Given to each task.
    events: Sender<TaskEvent>,
    tasks_started: u64,
    slots: IndexMap<Address, Slot>,
    /// Whether a connection was added or removed since [`ready_if_changed`](Self::ready_if_changed).
    is_ready_changed: bool,
}

/// How addresses are connected to, and reported.
#[derive(Debug)]
pub(crate) struct SlotSettings {
    /// The host and port of the endpoint.
    pub(crate) target: Arc<str>,
    pub(crate) connect: ConnectSettings,
    pub(crate) policy: Policy,
    pub(crate) hooks: Hooks,
}

/// One address.
#[derive(Debug)]
struct Slot {
    state: TrackedState,
    connection: Option<Arc<Connection>>,
    /// `None` while the policy does not need this address.
    task: Option<AbortOnDrop>,
    /// The number of the latest task.
    task_number: u64,
}

impl Slots {
    pub(crate) fn new(settings: SlotSettings, events: Sender<TaskEvent>) -> Self {
        Self { settings, events, tasks_started: 0, slots: IndexMap::new(), is_ready_changed: false }
    }

    pub(crate) fn settings(&self) -> &SlotSettings {
        &self.settings
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The connections to which calls can be sent, if they have changed since this was called last.
    pub(crate) fn ready_if_changed(&mut self) -> Option<Vec<Arc<Connection>>> {
        mem::take(&mut self.is_ready_changed)
            .then(|| self.slots.values().filter_map(|slot| slot.connection.clone()).collect())
    }

    /// Whether calls should wait for one of these addresses.
    pub(crate) fn is_connecting(&self) -> bool {
        self.slots.values().any(|slot| slot.state.get() == State::Connecting)
    }

    pub(crate) fn states(&self) -> Vec<(Address, State)> {
        let states = self.slots.iter();
        states.map(|(address, slot)| (address.clone(), slot.state.get())).collect()
    }

    /// Adds and removes addresses.
    pub(crate) fn change(&mut self, change: Change) {
        match change {
            Change::Add(address) => {
                if !self.slots.contains_key(&address) {
                    let slot = self.idle(&address);
                    self.slots.insert(address, slot);
                }
            }
            Change::Remove(address) => {
                let removed = self.slots.shift_remove(&address);
                self.is_ready_changed |= removed.is_some_and(|slot| slot.connection.is_some());
            }
            Change::Replace(addresses) => {
                let mut before = mem::take(&mut self.slots);
                for address in addresses {
                    if !self.slots.contains_key(&address) {
                        let slot = before.swap_remove(&address);
                        let slot = slot.unwrap_or_else(|| self.idle(&address));
                        self.slots.insert(address, slot);
                    }
                }
                self.is_ready_changed |= before.values().any(|slot| slot.connection.is_some());
            }
        }
    }

    fn idle(&self, address: &Address) -> Slot {
        let (target, hooks) = (Arc::clone(&self.settings.target), self.settings.hooks.clone());
        Slot {
            state: TrackedState::new(target, address.clone(), hooks),
            connection: None,
            task: None,
            task_number: 0,
        }
    }

    /// Takes an event of a task. Returns false if that task was aborted before.
    pub(crate) fn event(&mut self, event: &TaskEvent) -> bool {
        let Some(slot) = self.slots.get_mut(&event.address) else { return false };
        if slot.task.is_none() || slot.task_number != event.task {
            return false;
        }
        let (connection, state, reason) = match &event.event {
            Event::Ready(connection) => (Some(Arc::clone(connection)), State::Ready, None),
            Event::Lost(reason) => (None, State::Connecting, Some(&**reason)),
            Event::Failed(reason) | Event::Unhealthy(reason) => {
                (None, State::TransientFailure, Some(&**reason))
            }
        };
        self.is_ready_changed |= slot.connection.is_some() || connection.is_some();
        slot.connection = connection;
        slot.state.set(state, reason);
        true
    }

    /// Connects to the addresses that the policy needs, and to no others.
    pub(crate) fn start_and_stop(&mut self) {
        let policy = self.settings.policy;
        let first_connected = self.slots.values().position(|slot| slot.connection.is_some());
        for (index, (address, slot)) in self.slots.iter_mut().enumerate() {
            let is_needed = match policy {
                Policy::RoundRobin => true,
                Policy::PickFirst => first_connected.is_none_or(|first| first == index),
            };
            if !is_needed {
                slot.task = None;
                self.is_ready_changed |= slot.connection.take().is_some();
                slot.state.set(State::Idle, None);
                continue;
            }
            if slot.task.is_none() {
                slot.state.set(State::Connecting, None);
                self.tasks_started += 1;
                slot.task_number = self.tasks_started;
                let events = EventSender {
                    task: slot.task_number,
                    address: address.clone(),
                    sender: self.events.clone(),
                };
                slot.task = Some(task::spawn(self.settings.connect.clone(), events));
            }
            // The next address is tried only after this one has failed.
            let is_search = policy == Policy::PickFirst && first_connected.is_none();
            if is_search && slot.state.get() == State::Connecting {
                break;
            }
        }
    }
}
