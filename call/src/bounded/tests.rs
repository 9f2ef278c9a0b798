use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A key with a random hash.
fn key(number: u64) -> KeyHash {
    use std::sync::LazyLock;
    static SEEDS: LazyLock<KeySeeds> = LazyLock::new(KeySeeds::default);
    SEEDS.hash(number)
}

/// A predicate for values that are times.
fn passed(now: u64) -> impl Fn(&u64) -> bool {
    move |time| *time <= now
}

/// Sets the time of a key.
fn set(store: &BoundedStore<u64>, number: u64, time: u64, now: u64) -> EntryId {
    store.lock_or_evict(key(number), passed(now)).set(time)
}

/// Sets the times of many keys that find room.
fn fill(store: &BoundedStore<u64>, keys: std::ops::Range<u64>, time: impl Fn(u64) -> u64) {
    for number in keys {
        assert_eq!(set(store, number, time(number), 0), EntryId::Own(key(number)));
    }
}

fn get(store: &BoundedStore<u64>, number: u64) -> Option<u64> {
    store.lock(key(number)).get()
}

fn one_less(count: u64) -> Option<u64> {
    count.checked_sub(1).filter(|left| *left > 0)
}

#[test]
fn the_value_of_a_key_is_found_again() {
    for max_keys in [10, 0] {
        let store = BoundedStore::new(max_keys);
        assert_eq!((get(&store, 1), store.len()), (None, 0));
        set(&store, 1, 7, 0);
        set(&store, 1, 9, 0);
        assert_eq!((get(&store, 1), store.len()), (Some(9), max_keys.min(1)));
    }
}

#[test]
fn each_key_has_its_own_value_unless_the_store_has_no_keys() {
    let many = BoundedStore::new(10_000);
    fill(&many, 0..10_000, |number| number + 1);
    assert!((0..10_000).all(|number| get(&many, number) == Some(number + 1)));
    let none = BoundedStore::new(0);
    assert_eq!(set(&none, 1, 7, 0), EntryId::Overflow);
    assert_eq!(get(&none, 2), Some(7));
}

#[test]
fn an_entry_without_a_value_is_not_stored() {
    let store = BoundedStore::new(2);
    for number in 0..100 {
        assert_eq!(get(&store, number), None);
    }
    assert_eq!(store.len(), 0);
}

#[test]
fn keys_without_room_share_one_entry() {
    let store = BoundedStore::new(3);
    fill(&store, 0..3, |_| 100);
    assert_eq!(set(&store, 3, 50, 0), EntryId::Overflow);
    assert_eq!(get(&store, 4), Some(50));
    assert!(store.lock(key(4)).is_overflow() && !store.lock(key(0)).is_overflow());
    // The keys that are stored keep their entries.
    assert_eq!((get(&store, 0), store.len()), (Some(100), 3));
}

#[test]
fn room_is_reserved_while_an_entry_is_locked() {
    // More than one shard, so that two new keys can be locked at a time.
    let store = BoundedStore::new(1_025);
    fill(&store, 0..1_024, |_| 100);
    let mut first = store.lock(key(5_000));
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // One of them is in another shard than the first.
            let other = (6_000..).find(|other| key(*other).shard(4) != key(5_000).shard(4));
            sender.send(store.lock(key(other.expect("one of many"))).is_overflow())
        });
        assert_eq!(receiver.recv(), Ok(true));
    });
    assert_eq!(first.set(100), EntryId::Own(key(5_000)));
    drop(first);
    assert_eq!(store.len(), 1_025);
}

#[test]
fn expired_entries_make_room_and_others_stay() {
    let store = BoundedStore::new(4);
    fill(&store, 0..4, |number| 10 + number % 2);
    assert_eq!(set(&store, 4, 99, 9), EntryId::Overflow);
    assert_eq!(set(&store, 5, 99, 10), EntryId::Own(key(5)));
    assert_eq!(set(&store, 6, 99, 10), EntryId::Own(key(6)));
    assert_eq!(set(&store, 7, 99, 10), EntryId::Overflow);
    let stays = |number| !store.lock(key(number)).is_overflow();
    assert_eq!([0, 1, 2, 3].map(stays), [false, true, false, true]);
}

#[test]
fn one_expired_entry_in_many_shards_is_found() {
    let store = BoundedStore::new(4_096);
    fill(&store, 0..4_096, |number| 10 + u64::from(number > 0));
    // The one key that has expired is in any shard: each new key checks a few.
    let tries =
        (10_000..20_000).take_while(|number| set(&store, *number, 99, 10) == EntryId::Overflow);
    let tries = tries.count();
    assert!(tries <= 4_096 / 32, "{tries}");
    assert_eq!(store.len(), 4_096);
}

#[test]
fn steady_traffic_removes_expired_entries_a_few_at_a_time() {
    let store = BoundedStore::new(1_000_000);
    fill(&store, 0..100_000, |_| 10);
    assert_eq!(store.len(), 100_000);
    let mut most = 0;
    let mut calls = 0;
    let mut before = store.len();
    while before > 10 {
        let mut entry = store.lock_or_evict(key(calls % 10), passed(20));
        entry.set(u64::MAX);
        let wants_sweep = entry.wants_sweep();
        drop(entry);
        if wants_sweep {
            store.sweep(passed(20));
        }
        calls += 1;
        assert!(calls < 1_000_000, "{before} are left");
        if calls % 16 == 0 {
            let len = store.len();
            most = most.max(before - len);
            before = len;
        }
    }
    // Ten shards or fewer have traffic, and each of them asks for a sweep once in sixteen calls.
    assert!(most <= 64 * 10, "{most} at once");
    assert!((0..10).all(|number| get(&store, number) == Some(u64::MAX)));
}

#[test]
fn counts_are_decremented_and_removed_at_zero() {
    let store = BoundedStore::new(2);
    let id = set(&store, 1, 1, 0);
    set(&store, 1, 2, 0);
    store.update(id, one_less);
    assert_eq!((get(&store, 1), store.len()), (Some(1), 1));
    store.update(id, one_less);
    assert_eq!((get(&store, 1), store.len()), (None, 0));
    // A second removal has no effect.
    store.update(id, one_less);

    fill(&store, 2..4, |_| 1);
    let overflow = [set(&store, 4, 1, 0), set(&store, 5, 2, 0)];
    assert_eq!(overflow, [EntryId::Overflow; 2]);
    overflow.iter().for_each(|id| store.update(*id, one_less));
    assert_eq!(get(&store, 6), None);

    let none = BoundedStore::new(0);
    let id = set(&none, 1, 1, 0);
    none.update(id, one_less);
    none.update(id, one_less);
    assert_eq!(get(&none, 1), None);
}

#[test]
fn lock_alone_evicts_nothing() {
    let store = BoundedStore::new(100);
    fill(&store, 0..100, |_| 1);
    assert_eq!(store.lock(key(100)).set(1), EntryId::Overflow);
    assert_eq!(store.len(), 100);
}

#[test]
fn a_store_reports_its_usage() {
    let store = BoundedStore::new(1);
    let usage = |now| {
        let StoreUsage { keys, max_keys, overflow_in_use } = store.usage(passed(now));
        (keys, max_keys, overflow_in_use)
    };
    assert_eq!(usage(0), (0, 1, false));
    set(&store, 1, 9, 0);
    assert_eq!(usage(0), (1, 1, false));
    set(&store, 2, 9, 0);
    assert_eq!((usage(8), usage(9)), ((1, 1, true), (1, 1, false)));
}

#[test]
fn any_number_of_keys_may_be_allowed() {
    let store = BoundedStore::new(usize::MAX);
    fill(&store, 0..1_000, |_| 1);
    assert_eq!(store.len(), 1_000);
}

#[test]
fn a_panic_in_a_predicate_leaves_the_store_whole() {
    let store = BoundedStore::new(10);
    fill(&store, 0..10, |number| number);
    let sweep = || store.sweep(|time| if *time == 5 { panic!("on purpose") } else { true });
    assert!(crate::guarded(sweep).is_err());
    assert!(store.len() < 10);
    assert_eq!(get(&store, 5), Some(5));
}

#[test]
fn many_threads_find_the_same_keys() {
    let store = BoundedStore::new(1_000);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for round in 0..20_000_u64 {
                    let mut entry = store.lock_or_evict(key(round % 2_000), passed(0));
                    let before = entry.get().unwrap_or(0);
                    entry.set(before + 1);
                    drop(entry);
                    if round % 7 == 0 {
                        store.sweep(passed(0));
                    }
                }
            });
        }
    });
    assert_eq!(store.len(), 1_000);
    let own = |number: &u64| !store.lock(key(*number)).is_overflow();
    let kept = (0..2_000).filter(own).map(|number| get(&store, number).unwrap_or_default());
    let overflow = get(&store, 9_999);
    assert_eq!(kept.sum::<u64>() + overflow.unwrap_or_default(), 8 * 20_000);
}

proptest! {
    #[test]
    fn it_is_a_map_with_one_more_entry_for_keys_without_room(
        max_keys in 0_usize..6,
        steps in proptest::collection::vec((0_u64..10, 0_u64..4, any::<bool>()), 0..60),
    ) {
        let store = BoundedStore::new(max_keys);
        let (mut own, mut overflow) = (HashMap::new(), None);
        for (number, count, is_update) in steps {
            let is_own = own.contains_key(&number) || own.len() < max_keys;
            let expected = if is_own { own.get(&number).copied() } else { overflow };
            let mut entry = store.lock(key(number));
            prop_assert_eq!((entry.is_overflow(), entry.get()), (!is_own, expected));
            if !is_update {
                entry.set(count);
            }
            drop(entry);
            if is_update {
                let id = if is_own { EntryId::Own(key(number)) } else { EntryId::Overflow };
                store.update(id, one_less);
                match (expected.and_then(one_less), is_own) {
                    (changed, false) => overflow = changed,
                    (Some(left), true) => _ = own.insert(number, left),
                    (None, true) => _ = own.remove(&number),
                }
            } else if is_own {
                own.insert(number, count);
            } else {
                overflow = Some(count);
            }
            prop_assert_eq!(store.len(), own.len());
        }
    }
}
