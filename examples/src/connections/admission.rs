//! The limit of connections, and which ones are closed to make room for a new one.
//!
//! Thousands of idle connections must not keep other clients out, and a connection with calls is worth more than
//! a new one. So the connections that have been without a call for the longest time are closed. Calls of health
//! and reflection do not count: any client can keep them open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::activity::Activity;
use super::metrics::ConnectionMetrics;

/// How long a new connection waits for others to close: their tasks only need to be scheduled.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Finding the oldest connection visits all of them, so one in this many is closed at once.
const CLOSED_FRACTION: usize = 64;

/// Admits connections up to a maximum number. A clone shares them.
#[derive(Clone)]
pub(super) struct Admission {
    permits: Arc<Semaphore>,
    max: usize,
    open: Arc<Mutex<Table>>,
    metrics: ConnectionMetrics,
}

#[derive(Default)]
struct Table {
    /// The number of the next connection.
    next: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// One admitted connection, until it is dropped.
pub(super) struct Slot {
    number: u64,
    activity: Arc<Activity>,
    admission: Admission,
    /// Released after the file is closed.
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn new(max: usize, metrics: ConnectionMetrics) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(max)), max, open: Arc::default(), metrics }
    }

    /// Admits one more connection; `None` if there are too many, and none of them can be closed.
    pub(super) async fn acquire(&self) -> Option<Slot> {
        let permits = || Arc::clone(&self.permits);
        let permit = match permits().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.make_room() == 0 => return None,
            Err(_) => {
                tokio::time::timeout(CLOSE_TIMEOUT, permits().acquire_owned()).await.ok()?.ok()?
            }
        };
        let activity = Activity::new();
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.connections.insert(number, Arc::clone(&activity));
        self.metrics.open(open.connections.len());
        drop(open);
        Some(Slot { number, activity, admission: self.clone(), _permit: permit })
    }

    /// Asks the connections that have been without a call for the longest time to close. Returns their number.
    pub(super) fn make_room(&self) -> usize {
        let open = self.open();
        let mut idle: Vec<_> = open
            .connections
            .values()
            .filter_map(|activity| Some((activity.closable_since()?, activity)))
            .collect();
        let count = (self.max / CLOSED_FRACTION).clamp(1, idle.len().max(1)).min(idle.len());
        if count == 0 {
            return 0;
        }
        idle.select_nth_unstable_by_key(count - 1, |(since, _)| *since);
        idle[..count].iter().for_each(|(_, activity)| activity.ask_to_close());
        count
    }

    fn open(&self) -> MutexGuard<'_, Table> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.connections.remove(&self.number);
        self.admission.metrics.open(open.connections.len());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    fn admission(max: usize) -> Admission {
        Admission::new(max, ConnectionMetrics::Uncounted)
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_without_a_call_for_the_longest_time_gives_way() {
        let admission = admission(3);
        let mut slots = Vec::new();
        for _ in 0..3 {
            slots.push(admission.acquire().await.expect("there is room"));
            advance(Duration::from_secs(1)).await;
        }
        // The first has a call now, the second had one just now.
        let call = slots[0].activity().begin_call(true);
        drop(slots[1].activity().begin_call(true));
        let (next, ()) = tokio::join!(admission.acquire(), async {
            slots[2].activity().asked_to_close().await;
            drop(slots.pop());
        });
        let next = next.expect("the third has given way");
        drop(call);
        let only_the_third = async {
            tokio::select! {
                () = slots[0].activity().asked_to_close() => {}
                () = slots[1].activity().asked_to_close() => {}
            }
        };
        timeout(CLOSE_TIMEOUT, only_the_third).await.expect_err("nobody asked them");
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_have_calls_there_is_no_place_for_one_more() {
        let admission = admission(1);
        let slot = admission.acquire().await.expect("there is room");
        let call = slot.activity().begin_call(true);
        assert!(admission.acquire().await.is_none());
        drop(call);
        drop(slot);
        assert!(admission.acquire().await.is_some());
    }

    /// Guards against: a stranger's `Health/Watch` on each connection, which would keep all others out.
    #[tokio::test(start_paused = true)]
    async fn calls_that_anybody_can_hold_open_keep_no_place() {
        let admission = admission(1);
        let slot = admission.acquire().await.expect("there is room");
        let watch = slot.activity().begin_call(false);
        let (next, ()) = tokio::join!(admission.acquire(), async {
            slot.activity().asked_to_close().await;
            drop((watch, slot));
        });
        assert!(next.is_some());
    }
}
