use super::*;

/// A key as they are: spread evenly.
fn key(number: u64) -> Hashed {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::LazyLock;
    static SEEDS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    let [one, other] = &*SEEDS;
    u128::from(one.hash_one(number)) << 64 | u128::from(other.hash_one(number))
}

fn times(keys_at_most: usize) -> Store {
    Store::new(Kind::Times, Some(keys_at_most))
}

/// Keeps a time of a key; says where.
fn put(store: &Store, number: u64, time: u64, now: u64) -> Place {
    store.lock(key(number), now).put(time)
}

/// Keeps a time of many keys, which find room.
fn fill(store: &Store, keys: std::ops::Range<u64>, time: impl Fn(u64) -> u64) {
    for of in keys {
        assert_eq!(put(store, of, time(of), 0), Place::Own(key(of)));
    }
}

fn number(store: &Store, of: u64, now: u64) -> Option<u64> {
    store.lock(key(of), now).number()
}

#[test]
fn what_is_kept_of_a_key_is_found_again() {
    for store in [times(10), Store::new(Kind::Times, None)] {
        assert_eq!((number(&store, 1, 0), store.len()), (None, 0));
        put(&store, 1, 7, 0);
        put(&store, 1, 9, 0);
        assert_eq!((number(&store, 1, 0), store.len()), (Some(9), 1));
    }
}

#[test]
fn keys_are_told_apart_unless_all_are_one() {
    let many = times(10_000);
    fill(&many, 0..10_000, |of| of + 1);
    assert!((0..10_000).all(|of| number(&many, of, 0) == Some(of + 1)));
    let one = Store::new(Kind::Times, None);
    assert_eq!(put(&one, 1, 7, 0), Place::One);
    assert_eq!(number(&one, 2, 0), Some(7));
}

#[test]
fn a_bucket_that_nothing_was_put_into_leaves_no_key() {
    let store = times(2);
    for of in 0..100 {
        assert_eq!(number(&store, of, 0), None);
    }
    assert_eq!(store.len(), 0);
}

#[test]
fn keys_without_room_share_one_bucket() {
    let store = times(3);
    fill(&store, 0..3, |_| 100);
    assert_eq!(put(&store, 3, 50, 0), Place::Overflow);
    assert_eq!(number(&store, 4, 0), Some(50));
    assert!(store.lock(key(4), 0).is_overflow() && !store.lock(key(0), 0).is_overflow());
    // Who is there stays there.
    assert_eq!((number(&store, 0, 0), store.len()), (Some(100), 3));
}

#[test]
fn room_is_reserved_while_a_bucket_is_locked() {
    // More than one shard, so that two new keys can be locked at a time.
    let store = times(1_025);
    fill(&store, 0..1_024, |_| 100);
    let mut first = store.lock(key(5_000), 0);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // One of them is in another shard than the first.
            let other = (6_000..).find(|other| {
                let shard = |of: u64| key(of) as usize & 3;
                shard(*other) != shard(5_000)
            });
            sender.send(store.lock(key(other.expect("one of many")), 0).is_overflow())
        });
        assert_eq!(receiver.recv(), Ok(true));
    });
    assert_eq!(first.put(100), Place::Own(key(5_000)));
    drop(first);
    assert_eq!(store.len(), 1_025);
}

#[test]
fn what_has_passed_makes_room_and_what_has_not_stays() {
    let store = times(4);
    fill(&store, 0..4, |of| 10 + of % 2);
    assert_eq!(put(&store, 4, 99, 9), Place::Overflow);
    // A time is as good as none when it is there.
    assert_eq!(put(&store, 5, 99, 10), Place::Own(key(5)));
    assert_eq!(put(&store, 6, 99, 10), Place::Own(key(6)));
    assert_eq!(put(&store, 7, 99, 10), Place::Overflow);
    let stays = |of| !store.lock(key(of), 0).is_overflow();
    assert_eq!([0, 1, 2, 3].map(stays), [false, true, false, true]);
}

#[test]
fn of_many_shards_one_that_has_passed_is_found() {
    let store = times(4_096);
    fill(&store, 0..4_096, |of| 10 + u64::from(of > 0));
    // The one key whose time has passed is anywhere: each newcomer looks at some.
    let tries =
        (10_000..20_000).take_while(|number| put(&store, *number, 99, 10) == Place::Overflow);
    let tries = tries.count();
    assert!(tries <= 4_096 / 32, "{tries}");
    assert_eq!(store.len(), 4_096);
}

#[test]
fn steady_traffic_forgets_what_has_passed_some_at_a_time() {
    let store = times(1_000_000);
    fill(&store, 0..100_000, |_| 10);
    assert_eq!(store.len(), 100_000);
    let mut most = 0;
    let mut calls = 0;
    let mut before = store.len();
    while before > 10 {
        let mut bucket = store.lock(key(calls % 10), 20);
        bucket.put(u64::MAX);
        let wants_tidying = bucket.wants_tidying();
        drop(bucket);
        if wants_tidying {
            store.tidy(20);
        }
        calls += 1;
        assert!(calls < 1_000_000, "{before} are left");
        if calls % 16 == 0 {
            let len = store.len();
            most = most.max(before - len);
            before = len;
        }
    }
    // Ten shards or fewer have traffic, and each of them asks for it once in sixteen calls.
    assert!(most <= 64 * 10, "{most} at once");
    assert!((0..10).all(|of| number(&store, of, 20) == Some(u64::MAX)));
}

#[test]
fn calls_in_flight_are_counted_down_to_nothing() {
    let store = Store::new(Kind::Counts, Some(2));
    let place = put(&store, 1, 1, 0);
    put(&store, 1, 2, 0);
    store.release(place);
    assert_eq!((number(&store, 1, u64::MAX), store.len()), (Some(1), 1));
    store.release(place);
    assert_eq!((number(&store, 1, 0), store.len()), (None, 0));
    // Once too often is not less than nothing.
    store.release(place);

    fill(&store, 2..4, |_| 1);
    let shared = [put(&store, 4, 1, 0), put(&store, 5, 2, 0)];
    assert_eq!(shared, [Place::Overflow; 2]);
    shared.iter().for_each(|place| store.release(*place));
    assert_eq!(number(&store, 6, 0), None);

    let one = Store::new(Kind::Counts, None);
    let place = put(&one, 1, 1, 0);
    one.release(place);
    one.release(place);
    assert_eq!(number(&one, 1, 0), None);
}

#[test]
fn a_count_is_no_time_that_passes() {
    let store = Store::new(Kind::Counts, Some(100));
    fill(&store, 0..100, |_| 1);
    assert_eq!(put(&store, 100, 1, u64::MAX), Place::Overflow);
    store.tidy(u64::MAX);
    assert_eq!(store.len(), 100);
}

#[test]
fn that_there_is_no_room_is_told_once() {
    let store = times(1);
    assert!(store.is_to_be_told() && !store.is_to_be_told());
}

#[test]
fn any_number_of_keys_may_be_allowed() {
    let store = times(usize::MAX);
    fill(&store, 0..1_000, |_| 1);
    assert_eq!(store.len(), 1_000);
}

#[test]
fn many_threads_find_the_same_keys() {
    let store = times(1_000);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for round in 0..20_000_u64 {
                    let mut bucket = store.lock(key(round % 2_000), 0);
                    let before = bucket.number().unwrap_or(0);
                    bucket.put(before + 1);
                    drop(bucket);
                    if round % 7 == 0 {
                        store.tidy(0);
                    }
                }
            });
        }
    });
    assert_eq!(store.len(), 1_000);
    let own = |number: &u64| !store.lock(key(*number), 0).is_overflow();
    let kept =
        (0..2_000).filter(own).map(|of| number(&store, of, 0)).map(Option::unwrap_or_default);
    let shared = store.lock(key(9_999), 0).number();
    assert_eq!(kept.sum::<u64>() + shared.unwrap_or_default(), 8 * 20_000);
}
