//! Keeps the keys of an issuer up to date, in a background task.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::events::{FetchResult, KeysEvent, OnKeys};
use super::key::Fingerprint;
use super::key::set::{KeySet, ReadSet};
use super::source::{NoKeys, Source};
use super::store::Store;
use super::waiting::WaitingCalls;

/// The pause after a failed fetch. It doubles each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The keys of an issuer, fetched in the background for as long as they are needed. No lock is held during a
/// fetch.
pub(crate) struct Refresher {
    pub(crate) store: Store,
    pub(crate) waiting: Arc<WaitingCalls>,
    source: Box<dyn Source>,
    on_keys: OnKeys,
    /// Wakes the task, so that it reads the schedule again.
    pub(crate) wake: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Refresher {
    pub(crate) fn new(store: Store, source: Box<dyn Source>, on_keys: OnKeys) -> Self {
        let (waiting, wake, task) = Default::default();
        Self { store, waiting, source, on_keys, wake, task }
    }

    /// Starts the task that fetches the keys, if there is a runtime and it does not run. Cheap if it does.
    pub(crate) fn start(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        // It is finished if its runtime has ended, or if it has panicked.
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some(runtime.spawn(run(Arc::downgrade(self), Arc::clone(&self.wake))));
        }
    }

    /// Whether that key is one of the current keys.
    pub(crate) fn holds(self: &Arc<Self>, print: &Fingerprint) -> bool {
        let (holds, is_overdue) = self.store.holds(print);
        // The task may have ended with its runtime, and cached tokens do not look up a key.
        if is_overdue {
            self.start();
        }
        holds
    }

    fn tell(&self, result: FetchResult, why: Option<&str>) {
        let status = self.store.status();
        self.on_keys.call(&KeysEvent {
            issuer: &status.issuer,
            result,
            why,
            keys: status.keys,
            age: status.age,
            cool_down: status.cool_down,
            unknown_kids: status.unknown_kids,
        });
    }
}

impl Drop for Refresher {
    fn drop(&mut self) {
        // Lets the task see that the keys are no longer needed.
        self.wake.notify_one();
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("issuer", &self.store.issuer)
            .field("source", &self.source.name())
            .field("age", &self.store.age())
            .finish_non_exhaustive()
    }
}

async fn run(refresher: Weak<Refresher>, wake: Arc<Notify>) {
    if let Some(refresher) = refresher.upgrade() {
        refresher.store.take_over();
    }
    loop {
        let Some(due) = refresher.upgrade().map(|refresher| refresher.store.due()) else { return };
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            tokio::select! {
                () = sleep_until(due) => {}
                // A fetch was requested, or the refresher was dropped.
                () = wake.notified() => continue,
            }
        }
        let Some(refresher) = refresher.upgrade() else { return };
        let store = &refresher.store;
        let after_failure = pause_after(store.begin()).min(store.pace.every);
        // In case this task does not survive the fetch.
        store.next_in(jittered(after_failure));
        let good = fetch(&refresher).await;
        store.next_in(jittered(if good { store.pace.every } else { after_failure }));
    }
}

async fn fetch(refresher: &Refresher) -> bool {
    let store = &refresher.store;
    let fetched = timeout(store.pace.timeout, refresher.source.fetch()).await;
    let text = fetched.unwrap_or(Err(NoKeys::new(FetchResult::Timeout, "the fetch took too long")));
    let why = match text.and_then(|text| read(store, &text)) {
        Ok(set) if !set.keys.keys().is_empty() => {
            store.replace(set.keys);
            refresher.tell(FetchResult::Ok, None);
            return true;
        }
        // The issuer is reachable, and has withdrawn its keys.
        Ok(_) => {
            let had_keys = store.keys().is_some();
            store.clear();
            tracing::error!(
                target: "tonic_auth_layer",
                issuer = &*store.issuer,
                had_keys,
                "an issuer has no usable key, its previous keys are removed",
            );
            NoKeys::new(FetchResult::Empty, NONE_USABLE)
        }
        Err(why) => {
            tracing::warn!(
                target: "tonic_auth_layer",
                issuer = &*store.issuer,
                result = why.result.as_str(),
                %why,
                age_s = store.age().map(|age| age.as_secs()),
                "the keys of an issuer could not be fetched",
            );
            store.failed();
            why
        }
    };
    refresher.tell(why.result, Some(&why.text));
    false
}

pub(crate) const NONE_USABLE: &str = "no key of the set can be used";

pub(crate) fn read(store: &Store, text: &[u8]) -> Result<ReadSet, NoKeys> {
    let malformed = |why| NoKeys::new(FetchResult::Malformed, why);
    let set = KeySet::read(text, &store.allowed).map_err(malformed)?;
    log_changes(store, &set);
    Ok(set)
}

/// Logs changed keys, and newly refused ones.
fn log_changes(store: &Store, set: &ReadSet) {
    let before = store.keys();
    let held = |print| before.as_ref().is_some_and(|keys| keys.holds(print));
    let keys = set.keys.keys();
    let same = before.as_ref().map_or(0, |before| before.keys().len()) == keys.len();
    if !same || !keys.iter().all(|key| held(key.fingerprint())) {
        tracing::info!(
            target: "tonic_auth_layer",
            issuer = &*store.issuer,
            keys = keys.len(),
            "the keys of an issuer have changed"
        );
    }
    if !store.refused_changed(&set.refused) {
        return;
    }
    for (place, why) in &set.refused {
        tracing::warn!(target: "tonic_auth_layer", issuer = &*store.issuer, place, %why, "a key of an issuer is refused");
    }
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// Shortens a pause by up to 10 %, so that many servers do not fetch at the same time.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness, there is no jitter.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    pause - pause / 2_560 * u32::from(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_09_pauses_grow_to_a_minute_and_stay_there() {
        let pauses: Vec<_> = (1..=8).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn keys_09_jitter_takes_at_most_a_tenth() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(10));
            assert!((Duration::from_secs(9)..=Duration::from_secs(10)).contains(&pause));
        }
    }
}
