use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::transport::Channel;

/// The channel of one connection. A call needs a clone of its own until its request is handed over; to make one costs
/// two allocations, so some are kept for the next calls.
pub(crate) struct Channels {
    channel: Channel,
    idle: Mutex<Vec<Channel>>,
}

/// As many calls as hand over their requests at the same moment, in as many threads.
const MAX_IDLE: usize = 16;

impl Channels {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, idle: Mutex::default() }
    }

    /// A channel that no other call uses.
    pub(crate) fn take(&self) -> Channel {
        let idle = self.idle().pop();
        idle.unwrap_or_else(|| self.channel.clone())
    }

    /// For the next call. Only a channel which was called: one that was ready and was not called holds a place in the
    /// connection's queue.
    pub(crate) fn give_back(&self, channel: Channel) {
        let mut idle = self.idle();
        if idle.len() < MAX_IDLE {
            idle.push(channel);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channels")
    }
}
