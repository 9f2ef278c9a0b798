//! When keys are fetched, with a paused clock and a scripted source.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tokio::time::{Instant, advance};

use super::events::{FetchResult, OnKeys};
use super::key::set::NoKey;
use super::lookup::Lookup;
use super::refresh::Refresher;
use super::source::{NoKeys, Source};
use super::store::{Missing, Pace, Store};
use super::waiting::{MAX_WAITING, MAX_WAITING_PER_ADDRESS};
use crate::jwt::config::issuer::{Issuer, KeysFrom};
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::verify::limiter;

const UNKNOWN: Missing = Missing::No(NoKey::Unknown);
const NONE: Missing = Missing::Unavailable("none");
const OLD: Missing = Missing::Unavailable("old ones");

/// The result of a fetch; the number is its duration in seconds.
#[derive(Clone, Copy)]
enum Step {
    Keys(&'static [&'static str], u64),
    Fails,
    Hangs,
    Panics,
}

/// Executes the steps in order, and repeats the last one.
#[derive(Clone)]
struct Scripted {
    steps: Arc<Mutex<VecDeque<Step>>>,
    fetched: Arc<Mutex<Vec<Instant>>>,
}

impl Scripted {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = Arc::new(Mutex::new(steps.into_iter().collect()));
        Self { steps, fetched: Arc::default() }
    }

    fn fetches(&self) -> usize {
        self.fetched.lock().expect("no panic").len()
    }

    fn then(&self, step: Step) {
        *self.steps.lock().expect("no panic") = VecDeque::from([step]);
    }
}

impl Source for Scripted {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NoKeys>> + Send + '_>> {
        Box::pin(async {
            self.fetched.lock().expect("no panic").push(Instant::now());
            let step = {
                let mut steps = self.steps.lock().expect("no panic");
                let step = *steps.front().expect("a step");
                if steps.len() > 1 {
                    steps.pop_front();
                }
                step
            };
            match step {
                Step::Keys(names, seconds) => {
                    if seconds > 0 {
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    Ok(set(names))
                }
                Step::Fails => Err(NoKeys::new(FetchResult::Status, "503")),
                Step::Hangs => std::future::pending().await,
                Step::Panics => panic!("a source that is broken"),
            }
        })
    }

    fn name(&self) -> &'static str {
        "scripted"
    }
}

fn set(names: &[&str]) -> Vec<u8> {
    let keys = names.iter().map(|name| {
        let pair = Ed25519KeyPair::generate().expect("a key");
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": name, "x": x })
    });
    json!({ "keys": keys.collect::<Vec<_>>() }).to_string().into_bytes()
}

fn refresher(source: &Scripted) -> Arc<Refresher> {
    refresher_that_tells(source, OnKeys::default())
}

fn refresher_that_tells(source: &Scripted, on_keys: OnKeys) -> Arc<Refresher> {
    let seconds = Duration::from_secs;
    let pace = Pace {
        every: seconds(300),
        timeout: seconds(5),
        cool_down: seconds(30),
        stale: seconds(3_600),
    };
    let source = Box::new(source.clone());
    let store = Store::new("issuer".into(), vec![Algorithm::EdDSA], pace);
    let keys = Arc::new(Refresher::new(store, source, on_keys));
    keys.start();
    keys
}

/// Runs all tasks that can make progress, without advancing the clock.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass(seconds: u64) {
    for _ in 0..seconds {
        advance(Duration::from_secs(1)).await;
        settle().await;
    }
}

fn known(keys: &Arc<Refresher>, name: &str) -> Result<(), Missing> {
    keys.store.find(Some(name), Algorithm::EdDSA).map(drop)
}

async fn ask(keys: &Arc<Refresher>, name: &str) -> Result<(), Missing> {
    match keys.look_up(Some(name), Algorithm::EdDSA, None) {
        Lookup::Done(found) => found,
        Lookup::Pending(waits) => waits.find(Some(name), Algorithm::EdDSA).await,
    }
    .map(drop)
}

#[tokio::test(start_paused = true)]
async fn keys_10_until_the_first_keys_are_there_nobody_can_tell_and_nobody_waits() {
    let source = Scripted::new([Step::Fails, Step::Fails, Step::Keys(&["a"], 2)]);
    let keys = refresher(&source);
    assert_eq!(known(&keys, "a"), Err(NONE));
    assert_eq!(ask(&keys, "a").await, Err(NONE));
    settle().await;
    assert_eq!(known(&keys, "a"), Err(NONE));
    let begun = Instant::now();
    let mut ended = keys.store.ended();
    while known(&keys, "a").is_err() {
        ended.changed().await.expect("a store");
    }
    // After pauses of 1 s and 2 s, each at most a tenth shorter, and the fetch itself.
    let took = begun.elapsed().as_secs_f64();
    assert!((4.6..=5.1).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn keys_09_while_the_issuer_is_away_it_is_asked_less_and_less_often() {
    let source = Scripted::new([Step::Fails]);
    let keys = refresher(&source);
    pass(600).await;
    let times = source.fetched.lock().expect("no panic").clone();
    let pauses: Vec<_> = times.windows(2).map(|two| (two[1] - two[0]).as_secs_f64()).collect();
    for (pause, longest) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]) {
        assert!((longest * 0.89..=longest + 1.0).contains(pause), "{pauses:?}");
    }
    assert!((14..=18).contains(&times.len()), "{}", times.len());
    source.then(Step::Keys(&["a"], 0));
    pass(61).await;
    assert_eq!(known(&keys, "a"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn keys_06_keys_are_fetched_again_before_they_are_old() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&["b"], 0)]);
    let keys = refresher(&source);
    settle().await;
    assert_eq!(known(&keys, "a"), Ok(()));
    pass(269).await;
    assert_eq!((source.fetches(), known(&keys, "a")), (1, Ok(())));
    pass(32).await;
    assert_eq!((source.fetches(), known(&keys, "b")), (2, Ok(())));
    assert_eq!(known(&keys, "a"), Err(UNKNOWN), "dropped by the issuer, dropped here");
}

#[tokio::test(start_paused = true)]
async fn keys_05_an_unknown_kid_causes_one_fetch_for_all_who_ask() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&["a", "b"], 3)]);
    let keys = refresher(&source);
    settle().await;
    let calls: Vec<_> = (0..1_000)
        .map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { ask(&keys, "b").await })
        })
        .collect();
    settle().await;
    assert_eq!(known(&keys, "a"), Ok(()), "others are served meanwhile");
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Ok(()));
    }
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn keys_07_ten_thousand_random_kids_cause_one_fetch_per_cool_down() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    settle().await;
    for n in 0..10_000 {
        let kid = format!("random {n}");
        assert_eq!(known(&keys, "a"), Ok(()));
        assert_eq!(ask(&keys, &kid).await, Err(UNKNOWN), "{n}");
        if n % 100 == 99 {
            advance(Duration::from_secs(1)).await;
        }
    }
    // 100 s: fetches at 0, 30, 60 and 90 s, and no scheduled one.
    assert_eq!(source.fetches(), 1 + 4);
}

#[tokio::test(start_paused = true)]
async fn keys_07_at_most_1024_calls_wait_and_none_for_ever() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Hangs]);
    let keys = refresher(&source);
    settle().await;
    let calls: Vec<_> = (0..MAX_WAITING)
        .map(|_| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { ask(&keys, "b").await })
        })
        .collect();
    settle().await;
    assert_eq!(ask(&keys, "b").await, Err(UNKNOWN), "the last set is what there is to go by");
    assert_eq!(known(&keys, "a"), Ok(()));
    let begun = Instant::now();
    for call in calls {
        assert_eq!(call.await.expect("no panic"), Err(OLD));
    }
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn keys_05_who_asks_while_a_fetch_is_under_way_waits_for_the_next() {
    // The running fetch may have read the set before the key was added.
    let source =
        Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&["a"], 4), Step::Keys(&["b"], 0)]);
    let keys = refresher(&source);
    settle().await;
    pass(271).await;
    while source.fetches() < 2 {
        pass(1).await;
    }
    assert_eq!(ask(&keys, "b").await, Ok(()));
    assert_eq!(source.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn keys_05_while_the_issuer_is_away_an_unknown_kid_can_t_be_told() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Fails]);
    let keys = refresher(&source);
    settle().await;
    assert_eq!(ask(&keys, "b").await, Err(OLD));
    assert_eq!(ask(&keys, "b").await, Err(OLD), "in the cool-down too");
    assert_eq!(known(&keys, "a"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn keys_10_old_keys_serve_so_long_and_no_longer() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Fails]);
    let keys = refresher(&source);
    settle().await;
    let print = *keys.store.find(Some("a"), Algorithm::EdDSA).expect("a key").fingerprint();
    pass(3_599).await;
    assert_eq!(known(&keys, "a"), Ok(()));
    assert!(keys.holds(&print));
    pass(2).await;
    assert_eq!(known(&keys, "a"), Err(NONE));
    assert!(!keys.holds(&print), "what it has signed is not remembered either");
    source.then(Step::Keys(&["a"], 0));
    pass(61).await;
    assert_eq!(known(&keys, "a"), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn keys_10_an_empty_set_withdraws_the_keys_there_were() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&[], 0)]);
    let keys = refresher(&source);
    settle().await;
    let print = *keys.store.find(Some("a"), Algorithm::EdDSA).expect("a key").fingerprint();
    assert_eq!(ask(&keys, "b").await, Err(NONE));
    assert_eq!(known(&keys, "a"), Err(NONE));
    assert!(!keys.holds(&print), "what it has signed is not remembered either");
    assert_eq!(keys.store.age(), None);
    source.then(Step::Keys(&["a"], 0));
    pass(2).await;
    assert_eq!(known(&keys, "a"), Ok(()));
}

/// Guards against: 50 forged tokens among 1,000 valid calls that look like an outage of the issuer.
#[tokio::test(start_paused = true)]
async fn in_the_cool_down_a_kid_that_the_set_does_not_have_is_unknown() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    settle().await;
    for n in 0..50 {
        assert_eq!(ask(&keys, &format!("forged {n}")).await, Err(UNKNOWN), "{n}");
    }
    assert_eq!(source.fetches(), 2);
}

/// Guards against: a new key that is not fetched while callers send invented `kid`s.
#[tokio::test(start_paused = true)]
async fn at_the_cool_downs_end_one_fetch_comes_by_itself_and_brings_a_new_key() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    settle().await;
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN), "the issuer was asked");
    let begun = Instant::now();
    source.then(Step::Keys(&["a", "new"], 0));
    pass(10).await;
    for n in 0..1_000 {
        assert_eq!(ask(&keys, &format!("forged {n}")).await, Err(UNKNOWN));
    }
    assert_eq!(ask(&keys, "new").await, Err(UNKNOWN));
    pass(19).await;
    assert_eq!((source.fetches(), known(&keys, "new")), (2, Err(UNKNOWN)));
    pass(1).await;
    assert_eq!((source.fetches(), known(&keys, "new")), (3, Ok(())), "{:?}", begun.elapsed());
    // That fetch has started a new cool-down.
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN));
    pass(29).await;
    assert_eq!(source.fetches(), 3);
    pass(1).await;
    assert_eq!(source.fetches(), 4);
    pass(200).await;
    assert_eq!(source.fetches(), 4, "nobody has asked any more");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_of_the_clock_answers_those_who_asked_before_it() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    settle().await;
    pass(260).await;
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN));
    assert_eq!(source.fetches(), 2);
    // That moves the next scheduled fetch to 270 to 300 s from here, after the cool-down.
    pass(31).await;
    assert_eq!(source.fetches(), 2, "none is scheduled unless somebody asks in the cool-down");
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN));
    assert_eq!(source.fetches(), 3);
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN));
    keys.store.next_in(Duration::from_secs(5));
    keys.wake.notify_one();
    pass(6).await;
    assert_eq!(source.fetches(), 4);
    pass(60).await;
    assert_eq!(source.fetches(), 4, "the one for the cool-down's end is not needed any more");
}

#[tokio::test(start_paused = true)]
async fn while_the_issuer_is_away_forged_kids_cause_one_fetch_per_cool_down() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Fails]);
    let keys = refresher(&source);
    settle().await;
    for n in 0..300 {
        assert_eq!(ask(&keys, &format!("forged {n}")).await, Err(OLD), "{n}");
        pass(1).await;
    }
    // After pauses of 1 to 60 s, and at most ten more in ten cool-downs.
    assert!((10..=1 + 10 + 10).contains(&source.fetches()), "{}", source.fetches());
    source.then(Step::Keys(&["a"], 0));
    pass(60).await;
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN), "it is back");
}

#[tokio::test(start_paused = true)]
async fn a_set_that_was_fetched_since_it_was_asked_for_is_what_tells_though_a_later_fetch_fails() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&["a"], 0), Step::Fails]);
    let keys = refresher(&source);
    settle().await;
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN));
    keys.store.next_in(Duration::from_secs(5));
    keys.wake.notify_one();
    pass(5).await;
    assert_eq!(keys.store.status().failed_fetches, 1);
    assert_eq!(ask(&keys, "forged").await, Err(UNKNOWN), "the set is 5 s old");
}

#[tokio::test(start_paused = true)]
async fn one_address_does_not_take_all_the_places() {
    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Keys(&["a", "new"], 3)]);
    let keys = refresher(&source);
    settle().await;
    let from = |text: &str| limiter::accountable(text.parse().expect("an address"));
    let ask = |name: &str, text: &str| keys.look_up(Some(name), Algorithm::EdDSA, from(text));
    let mut waiting = Vec::new();
    for n in 0..2_000 {
        match ask(&format!("forged {n}"), "192.0.2.1") {
            Lookup::Pending(waits) => waiting.push(waits),
            Lookup::Done(found) => assert_eq!(found.map(drop), Err(UNKNOWN)),
        }
    }
    assert_eq!(waiting.len(), MAX_WAITING_PER_ADDRESS);
    let Lookup::Pending(new) = ask("new", "192.0.2.2") else { panic!("no place is left") };
    assert!(new.find(Some("new"), Algorithm::EdDSA).await.is_ok());
    assert_eq!(source.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_not_end_the_fetching() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher_that_tells(&source, OnKeys::new(|_| panic!("a hook that is broken")));
    settle().await;
    pass(301).await;
    assert_eq!(source.fetches(), 2, "though nobody has asked for any");
    for n in 0..100 {
        keys.start();
        assert_ne!(ask(&keys, &format!("forged {n}")).await, Ok(()));
        settle().await;
    }
    assert_eq!(source.fetches(), 3, "one for those who asked");
}

#[tokio::test(start_paused = true)]
async fn keys_09_a_task_that_takes_the_place_of_another_keeps_its_pauses() {
    let source = Scripted::new([Step::Panics]);
    let broken = refresher(&source);
    for _ in 0..60 {
        for _ in 0..10 {
            broken.start();
            settle().await;
        }
        pass(1).await;
    }
    // After pauses of 1, 2, 4, 8, 16 and 32 s.
    assert!((6..=7).contains(&source.fetches()), "{}", source.fetches());

    let source = Scripted::new([Step::Keys(&["a"], 0), Step::Panics]);
    let keys = refresher(&source);
    settle().await;
    let begun = Instant::now();
    for n in 0..100 {
        keys.start();
        assert_eq!(ask(&keys, &format!("forged {n}")).await, Err(OLD));
        assert_eq!(known(&keys, "a"), Ok(()));
    }
    let (fetches, took) = (source.fetches(), begun.elapsed().as_secs());
    assert!(fetches <= 5 && took < 20, "{fetches} in {took} s");
}

#[tokio::test(start_paused = true)]
async fn who_asks_before_the_first_fetch_begins_causes_no_second_one() {
    let source = Scripted::new([Step::Fails, Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    keys.wake.notify_one();
    settle().await;
    assert_eq!(source.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_fetches_for_a_verifier_that_is_gone() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    settle().await;
    assert_eq!(Arc::strong_count(&source.fetched), 2);
    drop(keys);
    settle().await;
    assert_eq!(Arc::strong_count(&source.fetched), 1);
}

#[test]
fn another_runtime_goes_on_where_one_has_ended() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    // It can be created without a runtime, and waits for one.
    let keys = refresher(&source);
    assert_eq!(source.fetches(), 0);
    runtime().block_on(async {
        keys.start();
        settle().await;
    });
    assert_eq!(source.fetches(), 1);
    runtime().block_on(async {
        keys.start();
        settle().await;
        assert_eq!(source.fetches(), 1, "they are not due");
        pass(301).await;
    });
    assert_eq!(source.fetches(), 2);
}

#[test]
fn who_only_sends_what_is_remembered_notices_that_nobody_fetches() {
    let source = Scripted::new([Step::Keys(&["a"], 0)]);
    let keys = refresher(&source);
    runtime().block_on(async {
        keys.start();
        settle().await;
    });
    let print = *keys.store.find(Some("a"), Algorithm::EdDSA).expect("a key").fingerprint();
    runtime().block_on(async {
        advance(Duration::from_secs(601)).await;
        assert!(keys.holds(&print));
        settle().await;
    });
    assert_eq!(source.fetches(), 2);
}

#[test]
fn keys_13_by_default_keys_are_fetched_as_often_as_the_docs_say() {
    let seconds = |pace: &Pace| {
        [pace.every, pace.timeout, pace.cool_down, pace.stale].map(|time| time.as_secs())
    };
    let given = Issuer::new("issuer".to_owned(), KeysFrom::Given(Vec::new()));
    assert_eq!(seconds(&given.pace), [300, 5, 30, 86_400]);
    assert_eq!(given.leeway, Duration::from_secs(60));
    let file = Issuer::new("issuer".to_owned(), KeysFrom::File("keys.json".into()));
    assert_eq!(seconds(&file.pace), [5, 5, 5, 86_400]);
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}
