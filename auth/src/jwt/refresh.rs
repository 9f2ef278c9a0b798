//! Fetches an issuer's keys, again and again, as long as somebody needs them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::events::{FetchResult, KeysEvent};
use super::key::set::{KeySet, ReadSet};
use super::source::NoKeys;
use super::store::Store;

/// How long after a failed fetch comes the next: twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(crate) async fn run(store: Weak<Store>, wake: Arc<Notify>) {
    let mut failures = 0;
    while let Some(store) = store.upgrade() {
        store.begin();
        let good = fetch(&store).await;
        failures = if good { 0 } else { failures + 1 };
        let pause = if good { store.pace.every } else { pause_after(failures) };
        let next = Instant::now() + jittered(pause.min(store.pace.every));
        drop(store);
        tokio::select! {
            () = sleep_until(next) => {}
            () = wake.notified() => {}
        }
    }
}

async fn fetch(store: &Store) -> bool {
    let fetched = timeout(store.pace.timeout, store.source.fetch()).await;
    let text = fetched.unwrap_or(Err(NoKeys::new(FetchResult::Timeout, "it took too long")));
    match text.and_then(|text| read(store, &text)) {
        Ok(set) => {
            store.good(set.keys);
            tell(store, FetchResult::Ok, None);
            true
        }
        Err(why) => {
            tracing::warn!(
                issuer = &*store.issuer,
                result = why.result.as_str(),
                %why,
                age_s = store.age().map(|age| age.as_secs()),
                "the keys of an issuer could not be fetched",
            );
            store.failed();
            tell(store, why.result, Some(&why.text));
            false
        }
    }
}

pub(super) fn read(store: &Store, text: &[u8]) -> Result<ReadSet, NoKeys> {
    let malformed = |why| NoKeys::new(FetchResult::Malformed, why);
    let set = KeySet::read(text, &store.allowed).map_err(malformed)?;
    tell_changes(store, &set);
    if set.keys.keys().is_empty() {
        return Err(malformed("no key of the set can be used"));
    }
    Ok(set)
}

fn tell(store: &Store, result: FetchResult, why: Option<&str>) {
    let keys = store.keys().map_or(0, |keys| keys.keys().len());
    let event = KeysEvent { issuer: &store.issuer, result, why, keys, age: store.age() };
    store.on_keys.tell(&event);
}

/// Says what is new, and what of it is refused: once, not at each fetch.
fn tell_changes(store: &Store, set: &ReadSet) {
    let before = store.keys();
    let held = |print| before.as_ref().is_some_and(|keys| keys.holds(print));
    let keys = set.keys.keys();
    let same = before.as_ref().is_some_and(|before| before.keys().len() == keys.len());
    if same && keys.iter().all(|key| held(key.fingerprint())) {
        return;
    }
    tracing::info!(
        issuer = &*store.issuer,
        keys = keys.len(),
        "the keys of an issuer have changed"
    );
    tell_refused(store, set);
}

fn tell_refused(store: &Store, set: &ReadSet) {
    for (place, why) in &set.refused {
        tracing::warn!(issuer = &*store.issuer, place, %why, "a key of an issuer is refused");
    }
}

fn pause_after(failures: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

/// Up to a tenth less, so that many servers don't ask at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness there is no jitter, and nothing worse.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    pause - pause / 2_560 * u32::from(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_stay_there() {
        let pauses: Vec<_> = (1..=8).map(|failures| pause_after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn jitter_takes_at_most_a_tenth() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_secs(10));
            assert!((Duration::from_secs(9)..=Duration::from_secs(10)).contains(&pause));
        }
    }
}
