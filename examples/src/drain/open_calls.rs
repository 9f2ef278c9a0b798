//! The calls that are open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic_call::{Cut, Refusal};

use crate::status;

/// The reason of calls that are ended because the server stops.
const STOPPING: &str = "SERVER_STOPPING";

/// The calls that are open. A clone shares them.
#[derive(Clone, Default)]
pub(super) struct OpenCalls(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// No further streams may begin.
    stopping: bool,
    /// The number of the next call.
    next: u64,
    calls: HashMap<u64, OpenCall>,
}

struct OpenCall {
    cut: Cut,
    /// It ends by itself, and may finish.
    ends_soon: bool,
}

/// Removes its call when it is dropped.
pub(super) struct CallGuard {
    calls: OpenCalls,
    number: u64,
}

impl OpenCalls {
    /// Adds a call. A stream that begins while the server stops is ended at once.
    pub(super) fn add(&self, cut: Cut, ends_soon: bool) -> CallGuard {
        let mut table = self.table();
        let number = table.next;
        table.next += 1;
        if table.stopping && !ends_soon {
            drop(table);
            end(&cut, STOPPING);
        } else {
            table.calls.insert(number, OpenCall { cut, ends_soon });
        }
        CallGuard { calls: self.clone(), number }
    }

    /// Ends open streams, and those that begin from now on.
    pub(super) fn end_streams(&self) {
        let mut table = self.table();
        table.stopping = true;
        let streams: Vec<_> = table.calls.extract_if(|_, call| !call.ends_soon).collect();
        // Ending a call drops its handler, which must not happen under the lock.
        drop(table);
        streams.iter().for_each(|(_, stream)| end(&stream.cut, STOPPING));
    }

    /// Ends every call.
    pub(super) fn end_all(&self, reason: &'static str) {
        let calls: Vec<_> = self.table().calls.drain().collect();
        calls.iter().for_each(|(_, call)| end(&call.cut, reason));
    }

    pub(super) fn len(&self) -> usize {
        self.table().calls.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end(cut: &Cut, reason: &'static str) {
    cut.refuse(&Refusal::new("drain", reason), status::stopping());
}

impl CallGuard {
    /// The call ends by itself: it may finish.
    pub(super) fn set_ends_soon(&self) {
        if let Some(call) = self.calls.table().calls.get_mut(&self.number) {
            call.ends_soon = true;
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        let removed = self.calls.table().calls.remove(&self.number);
        // Dropped after the lock is released.
        drop(removed);
    }
}
