//! How many connections there are, and which give way when one more comes.
//!
//! Thousands of connections that say nothing must not keep a good client out, and a connection with calls on
//! it is worth more than a new one. So those give way that have served no call for the longest time. Calls of
//! health and reflection do not count: anybody can hold them open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::activity::Activity;
use super::counts;

/// How long a new connection waits for those that give way. They only have to be scheduled.
const SOON: Duration = Duration::from_secs(1);

/// To find the oldest costs a look at all of them, so this part of them gives way at once.
const PART: usize = 64;

/// Those that are open. A clone is the same.
#[derive(Clone)]
pub(super) struct Admission {
    places: Arc<Semaphore>,
    at_most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// How many there have been.
    count: u64,
    connections: HashMap<u64, Arc<Activity>>,
}

/// The place of one of them, until it is dropped.
pub(super) struct Place {
    number: u64,
    activity: Arc<Activity>,
    admission: Admission,
    /// Given back after the file is closed.
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    pub(super) fn at_most(at_most: usize) -> Self {
        let at_most = at_most.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(at_most)), at_most, open: Arc::default() }
    }

    /// A place for one more; `None` if there is none, and nobody who could give way.
    pub(super) async fn place(&self) -> Option<Place> {
        let places = || Arc::clone(&self.places);
        let permit = match places().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) if self.make_room() == 0 => return None,
            Err(_) => tokio::time::timeout(SOON, places().acquire_owned()).await.ok()?.ok()?,
        };
        let activity = Activity::begin();
        let mut open = self.open();
        open.count += 1;
        let number = open.count;
        open.connections.insert(number, Arc::clone(&activity));
        counts::open(open.connections.len());
        drop(open);
        Some(Place { number, activity, admission: self.clone(), _permit: permit })
    }

    /// Asks those to close that have been without a call for the longest time. How many were asked.
    pub(super) fn make_room(&self) -> usize {
        let open = self.open();
        let mut idle: Vec<_> = open
            .connections
            .values()
            .filter_map(|activity| Some((activity.could_give_way_since()?, activity)))
            .collect();
        let some = (self.at_most / PART).clamp(1, idle.len().max(1)).min(idle.len());
        if some == 0 {
            return 0;
        }
        idle.select_nth_unstable_by_key(some - 1, |(since, _)| *since);
        idle[..some].iter().for_each(|(_, activity)| activity.give_way());
        some
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.connections.remove(&self.number);
        counts::open(open.connections.len());
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_without_a_call_for_the_longest_time_gives_way() {
        let admission = Admission::at_most(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(admission.place().await.expect("there is room"));
            advance(Duration::from_secs(1)).await;
        }
        // The first has a call now, the second had one just now.
        let call = places[0].activity().call(true);
        drop(places[1].activity().call(true));
        let (next, ()) = tokio::join!(admission.place(), async {
            places[2].activity().gives_way().await;
            drop(places.pop());
        });
        let next = next.expect("the third has given way");
        drop(call);
        let only_the_third = async {
            tokio::select! {
                () = places[0].activity().gives_way() => {}
                () = places[1].activity().gives_way() => {}
            }
        };
        timeout(SOON, only_the_third).await.expect_err("nobody asked them");
        drop(next);
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_have_calls_there_is_no_place_for_one_more() {
        let admission = Admission::at_most(1);
        let place = admission.place().await.expect("there is room");
        let call = place.activity().call(true);
        assert!(admission.place().await.is_none());
        drop(call);
        drop(place);
        assert!(admission.place().await.is_some());
    }

    /// Guards against: a stranger's `Health/Watch` on each connection, which would keep all others out.
    #[tokio::test(start_paused = true)]
    async fn calls_that_anybody_can_hold_open_keep_no_place() {
        let admission = Admission::at_most(1);
        let place = admission.place().await.expect("there is room");
        let watch = place.activity().call(false);
        let (next, ()) = tokio::join!(admission.place(), async {
            place.activity().gives_way().await;
            drop((watch, place));
        });
        assert!(next.is_some());
    }
}
