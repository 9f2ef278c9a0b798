//! The state of a limit without keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Set while a call that takes from several limits holds the state. No state has this bit: the latest time plus the
/// longest refill is below it.
const HELD: u64 = 1 << 63;

/// The state of a limit without keys, which all calls share. 0 is equal to no state.
///
/// A call that has no other limit [updates](Self::update) it without a lock. A call with several limits
/// [holds](Self::hold) it until all are checked, so that it can take from all or from none.
#[derive(Debug, Default)]
pub(crate) struct Single {
    state: AtomicU64,
    /// Locked by the call that holds the state, and by updates that wait for that.
    holder: Mutex<()>,
}

/// A [`Single`] that no other call changes until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    single: &'a Single,
    state: u64,
    _holder: MutexGuard<'a, ()>,
}

impl Single {
    /// Changes the state to what `change` returns, or not at all for `None`. If another call changes it at the same
    /// time, `change` is called again.
    pub(crate) fn update(&self, mut change: impl FnMut(u64) -> Option<u64>) {
        let mut state = self.state.load(Ordering::Acquire);
        let mut waited = None;
        loop {
            if state & HELD != 0 {
                // Once the lock is here, nobody can hold the state.
                waited.get_or_insert_with(|| self.lock());
                state = self.state.load(Ordering::Acquire);
            }
            let Some(next) = change(state) else { return };
            let changed =
                self.state.compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire);
            match changed {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
    }

    /// Holds the state. Waits while another call holds it.
    pub(crate) fn hold(&self) -> Held<'_> {
        let holder = self.lock();
        let state = self.state.fetch_or(HELD, Ordering::AcqRel);
        Held { single: self, state, _holder: holder }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    pub(crate) fn get(&self) -> Option<u64> {
        (self.state != 0).then_some(self.state)
    }

    pub(crate) fn set(&mut self, state: u64) {
        self.state = state;
    }
}

/// Before the lock is released.
impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.single.state.store(self.state, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn get(single: &Single) -> Option<u64> {
        single.hold().get()
    }

    #[test]
    fn a_state_is_changed_or_stays() {
        let single = Single::default();
        assert_eq!(get(&single), None);
        single.update(|state| Some(state + 7));
        single.update(|_| None);
        assert_eq!(get(&single), Some(7));
        single.hold().set(9);
        assert_eq!(get(&single), Some(9));
        single.update(|_| Some(0));
        assert_eq!(get(&single), None);
    }

    #[test]
    fn an_update_waits_while_the_state_is_held() {
        let single = Single::default();
        let released = AtomicBool::new(false);
        let mut held = single.hold();
        std::thread::scope(|threads| {
            let (started, waits) = std::sync::mpsc::channel();
            threads.spawn({
                let (single, released) = (&single, &released);
                move || {
                    started.send(()).expect("it is received");
                    single.update(|state| {
                        assert!(released.load(Ordering::SeqCst), "the state {state} is held");
                        Some(state + 1)
                    });
                }
            });
            waits.recv().expect("a thread");
            // Lets the other thread reach the state. If it is later, the test proves less and still passes.
            (0..100).for_each(|_| std::thread::yield_now());
            held.set(41);
            released.store(true, Ordering::SeqCst);
            drop(held);
        });
        assert_eq!(get(&single), Some(42));
    }

    #[test]
    fn no_change_of_many_threads_is_lost() {
        const EACH: u64 = 20_000;
        let single = Single::default();
        std::thread::scope(|threads| {
            for number in 0..8 {
                let single = &single;
                threads.spawn(move || {
                    for _ in 0..EACH {
                        if number % 4 == 0 {
                            let mut held = single.hold();
                            let state = held.get().unwrap_or(0);
                            held.set(state + 1);
                        } else {
                            single.update(|state| Some(state + 1));
                        }
                    }
                });
            }
        });
        assert_eq!(get(&single), Some(8 * EACH));
    }
}
