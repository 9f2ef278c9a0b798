//! Callers that invent keys can neither exhaust the memory nor evict the keys of others. Each test is a rule.
// The figures are printed, because the docs contain them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Hand, Lines, call, passes, principal};
use http::Request;
use tonic_ratelimit_layer::{InFlight, Key, Quota, RateLimit, RateLimitBuilder, RateLimitLayer};

const SECOND: Duration = Duration::from_secs(1);

/// A key that is cheap to make: the tests use many.
#[derive(Clone, Copy)]
struct Number(u64);

fn by_number(quota: Quota) -> (RateLimitBuilder, Hand) {
    let hand = Hand::default();
    let key = Key::function(|_, head| head.extensions.get::<Number>().map(|number| number.0));
    (RateLimitLayer::server(quota.by(key)).with_clock(hand.clock()), hand)
}

/// Makes calls with many keys.
struct Calls {
    service: RateLimit<common::Inner>,
    came: Arc<AtomicUsize>,
    request: Request<common::Untouched>,
}

impl Calls {
    fn new(layer: &RateLimitLayer) -> Self {
        let mut request = common::Who::default().request();
        // A `CallInfo` that all calls share would collect all refusals.
        request.extensions_mut().clear();
        let inner = common::Inner::default();
        let came = Arc::clone(&inner.0);
        Self { service: tower::Layer::layer(layer, inner), came, request }
    }

    /// Whether a call with that key passes. The response is dropped.
    fn call(&mut self, number: u64) -> bool {
        let before = self.came.load(Ordering::Relaxed);
        let mut request = self.request.clone();
        request.extensions_mut().insert(Number(number));
        drop(tower::Service::call(&mut self.service, request));
        self.came.load(Ordering::Relaxed) > before
    }
}

/// The number of bytes that are still allocated after `run`, and the maximum during it.
fn memory(run: impl FnOnce()) -> (i64, u64) {
    let info = allocation_counter::measure(run);
    (info.bytes_current, info.bytes_max)
}

#[test]
fn h01_a_million_invented_keys_take_no_more_memory_than_the_maximum_of_keys() {
    let (builder, hand) = by_number(Quota::per_minute(1).burst(2));
    let mut layer = None;
    let (_, built) = memory(|| layer = Some(builder.build().unwrap()));
    let layer = layer.unwrap();
    let mut calls = Calls::new(&layer);
    // A caller that was stored earlier.
    assert!(calls.call(u64::MAX));
    let mut passed = 0;
    let (_, most) = memory(|| passed = (0..1_000_000).filter(|number| calls.call(*number)).count());
    println!("{built} bytes when built, {most} more for a million keys of which 100,000 are kept");
    assert!(most + built < 100_000 * 90, "{most}");
    // The callers for which there was room, and two calls from the shared bucket.
    assert_eq!(passed, 99_999 + 2);

    // Stored callers keep their quota. New callers share a bucket that is empty.
    assert!(calls.call(u64::MAX) && !calls.call(u64::MAX));
    assert!(calls.call(5) && !calls.call(5));
    hand.advance(SECOND * 59);
    assert!((2_000_000..2_000_100).all(|newcomer| !calls.call(newcomer)));

    // When bursts are full again, there is room for new callers.
    hand.advance(SECOND);
    for newcomer in 3_000_000..3_001_000 {
        assert!(calls.call(newcomer) && calls.call(newcomer) && !calls.call(newcomer));
    }
}

#[test]
fn h02_a_million_keys_are_stored_if_set_and_removed_a_few_at_a_time() {
    const KEYS: u64 = 1_000_000;
    let (builder, hand) = by_number(Quota::per_minute(1));
    let layer = builder.max_keys(1_000_000).build().unwrap();
    let mut calls = Calls::new(&layer);
    let (kept, most) = memory(|| assert!((0..KEYS).all(|number| calls.call(number))));
    println!("{kept} bytes for a million keys, {most} at most");
    assert!(most < KEYS * 90, "{most}");
    assert!(!calls.call(1));

    hand.advance(SECOND * 61);
    // Constant traffic of a hundred callers.
    let (mut freed, mut rounds, mut most_at_once) = (0, 0, 0);
    while freed < kept * 9 / 10 {
        let (left, _) = memory(|| (0..100).for_each(|number| _ = calls.call(number)));
        (freed, rounds) = (freed - left, rounds + 1);
        most_at_once = most_at_once.max(-left);
        assert!(rounds < 10_000, "{freed} of {kept} are free");
    }
    println!(
        "{freed} bytes are free after {rounds} hundred calls, {most_at_once} of them within one hundred"
    );
    assert!(most_at_once < kept / 100, "{most_at_once}");
}

#[test]
fn h03_each_limit_has_its_own_room() {
    let hand = Hand::default();
    let quotas = [
        Quota::per_second(5).by(Key::metadata("x-api-key")),
        Quota::per_second(3).by(Key::principal()),
    ];
    let builder = RateLimitLayer::server(quotas).max_keys(10);
    let layer = builder.with_clock(hand.clock()).build().unwrap();
    let keys: Vec<_> = (0..100).map(|key| key.to_string()).collect();
    let attack = |who| {
        let from = |key| [("x-api-key", key)];
        keys.iter()
            .filter(|key| {
                let headers = from(key.as_str());
                call(&layer, &common::Who { headers: &headers, ..principal(who) }).came_through
            })
            .count()
    };
    // The limit by principal refuses it with any invented key.
    assert_eq!(attack("eve"), 3);
    assert_eq!(attack("eve"), 0);
    // There is room for all keys: refused calls store none.
    let ann = common::Who { headers: &[("x-api-key", "ann's")], ..principal("ann") };
    assert_eq!(passes(&layer, &ann), 3);
}

#[test]
fn h04_a_full_store_is_warned_about_once() {
    let builder = RateLimitLayer::server(Quota::per_second(1).by(Key::principal()));
    let layer = builder.max_keys(2).with_clock(Hand::default().clock()).build().unwrap();
    let lines = Lines::default();
    let collecting = lines.collect();
    for who in ["ann", "bob"] {
        call(&layer, &principal(who)).passed();
    }
    assert!(!lines.text().contains("WARN"));
    for who in ["eve", "dan", "fay"] {
        call(&layer, &principal(who));
    }
    drop(collecting);
    let text = lines.text();
    let warnings: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    for part in ["1/s:principal", "max_keys=2", "key=\"principal\""] {
        assert!(warnings[0].contains(part), "{part}: {text}");
    }
}

#[test]
fn h05_the_shared_bucket_is_one_of_the_same_size() {
    let builder = RateLimitLayer::server(Quota::per_second(10).burst(4).by(Key::principal()));
    let hand = Hand::default();
    let layer = builder.max_keys(1).with_clock(hand.clock()).build().unwrap();
    assert_eq!(passes(&layer, &principal("ann")), 4);
    for who in ["bob", "eve", "dan", "fay"] {
        call(&layer, &principal(who)).passed();
    }
    call(&layer, &principal("gus")).is_limited_for(SECOND / 10);
    call(&layer, &principal("bob")).is_limited_for(SECOND / 10);
    // Ann's burst is full again: the next new caller gets her room.
    hand.advance(SECOND * 2 / 5);
    assert_eq!(passes(&layer, &principal("gus")), 4);
    assert_eq!(passes(&layer, &principal("ann")), 4, "those of the shared one");
    assert_eq!(passes(&layer, &principal("bob")), 0);
}

#[test]
fn h06_ended_calls_in_flight_take_no_memory() {
    const CALLS: u64 = 50_000;
    let key = Key::function(|_, head| head.extensions.get::<Number>().map(|number| number.0));
    let layer = RateLimitLayer::server(InFlight::new(1).by(key)).build().unwrap();
    let mut service = tower::Layer::layer(&layer, common::Inner::default());
    let mut in_flight = Vec::with_capacity(CALLS as usize);
    let mut begin = |number| {
        let mut request = common::Who::default().request();
        request.extensions_mut().insert(Number(number));
        tower::Service::call(&mut service, request)
    };
    // The first call allocates memory that is not the store's.
    drop(begin(0));
    let (taken, _) = memory(|| (0..CALLS).for_each(|number| in_flight.push(begin(number))));
    let (given_back, _) = memory(|| in_flight.clear());
    println!("{taken} bytes for {CALLS} calls in flight, {} of them stay", taken + given_back);
    assert!(taken + given_back < CALLS as i64 * 20, "{taken} {given_back}");
}

#[test]
fn h07_a_new_key_gets_the_room_of_keys_whose_burst_is_full_again() {
    for newcomers in 1..5 {
        let hand = Hand::default();
        let quota = Quota::per_second(1).by(Key::principal());
        let builder = RateLimitLayer::server(quota).max_keys(64).with_clock(hand.clock());
        let layer = builder.build().unwrap();
        for known in 0..64 {
            call(&layer, &principal(&known.to_string())).passed();
        }
        // They now share a bucket, which is empty. All keys were checked, and none was removed.
        hand.advance(SECOND * 9 / 10);
        for new in 0..newcomers {
            call(&layer, &principal(&format!("new {new}")));
        }
        hand.advance(SECOND / 10);
        call(&layer, &principal("honest")).passed();
    }
}

/// New keys do not use the shared bucket while there is room.
#[test]
fn h08_while_keys_come_and_go_there_is_room_for_new_ones() {
    const KEYS: u64 = 10_000;
    const ALIVE: u64 = KEYS * 80 / 100;
    let (builder, hand) = by_number(Quota::per_minute(1));
    let layer = builder.max_keys(KEYS as usize).build().unwrap();
    let mut calls = Calls::new(&layer);
    let each = Duration::from_secs(60) / ALIVE as u32;
    for number in 0..ALIVE * 5 {
        assert!(calls.call(number), "{number}");
        hand.advance(each);
    }
}
