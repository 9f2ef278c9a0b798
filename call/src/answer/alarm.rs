use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};

use tokio::runtime::Handle;
use tokio::task::coop::Unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Calls a function at a given time, unless it is dropped before.
///
/// There is no task until then, so an alarm that does not ring costs a timer. It rings in a task of its own: even
/// while the task that set it is not polled, for example because an HTTP caller reads nothing. Time is tokio's, which
/// tests can pause.
///
/// The function returns when to ring again, or `None`.
pub struct Alarm(#[expect(dead_code, reason = "dropped with the alarm")] Arc<Bell>);

struct Bell {
    state: Mutex<State>,
    /// For the waker of the timer. Weak, so that dropping the alarm drops the timer.
    this: Weak<Bell>,
    runtime: Handle,
    ring: Box<dyn Fn() -> Option<Instant> + Send + Sync>,
}

struct State {
    at: Instant,
    /// A task must not run out of its budget here: nothing would poll the timer again.
    timer: Pin<Box<Unconstrained<Sleep>>>,
}

/// Wakes the bell of an alarm that has not been dropped.
struct Clapper(Weak<Bell>);

impl Alarm {
    /// Sets an alarm.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub fn set(at: Instant, ring: impl Fn() -> Option<Instant> + Send + Sync + 'static) -> Self {
        let timer = Box::pin(tokio::task::unconstrained(sleep_until(at)));
        let bell = Arc::new_cyclic(|this| Bell {
            state: Mutex::new(State { at, timer }),
            this: Weak::clone(this),
            runtime: Handle::current(),
            ring: Box::new(ring),
        });
        bell.wait();
        Self(bell)
    }
}

impl Bell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the timer wake this bell, or rings if the time has come.
    fn wait(&self) {
        let waker = Waker::from(Arc::new(Clapper(Weak::clone(&self.this))));
        let mut state = self.state();
        if state.timer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            drop(state);
            waker.wake();
        }
    }

    fn wake(&self) {
        let at = self.state().at;
        if at <= Instant::now() { self.ring() } else { self.wait() }
    }

    fn ring(&self) {
        let Some(at) = (self.ring)() else { return };
        let mut state = self.state();
        state.at = at;
        state.timer = Box::pin(tokio::task::unconstrained(sleep_until(at)));
        drop(state);
        self.wait();
    }
}

impl Wake for Clapper {
    /// Runs in the timer driver, where foreign code must not: that of `ring` may take long, or panic.
    fn wake(self: Arc<Self>) {
        let Some(bell) = self.0.upgrade() else { return };
        // When the runtime shuts down, the driver wakes too, and the task is dropped.
        bell.runtime.clone().spawn(async move {
            if let Some(bell) = self.0.upgrade() {
                bell.wake();
            }
        });
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Alarm")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    fn counter() -> (Arc<AtomicUsize>, impl Fn() -> usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let read = Arc::clone(&count);
        (count, move || read.load(Ordering::SeqCst))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_once_and_not_early() {
        let (count, rung) = counter();
        let _alarm = Alarm::set(Instant::now() + SECOND, move || {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        tokio::time::sleep(SECOND - Duration::from_millis(1)).await;
        assert_eq!(rung(), 0);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(rung(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_that_has_passed_rings_at_once() {
        let (count, rung) = counter();
        let _alarm = Alarm::set(Instant::now(), move || {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        tokio::task::yield_now().await;
        assert_eq!(rung(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_alarm_is_silent_and_holds_nothing() {
        let (count, rung) = counter();
        let held = Arc::downgrade(&count);
        let alarm = Alarm::set(Instant::now() + SECOND, move || {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        drop(alarm);
        // `rung` holds the other one.
        assert_eq!(held.strong_count(), 1);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(rung(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_again_when_it_says_so() {
        let (count, rung) = counter();
        let _alarm = Alarm::set(Instant::now() + SECOND, move || {
            let times = count.fetch_add(1, Ordering::SeqCst) + 1;
            (times < 3).then(|| Instant::now() + SECOND)
        });
        for seconds in 1..6 {
            tokio::time::sleep(SECOND + Duration::from_millis(1)).await;
            assert_eq!(rung(), seconds.min(3));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_without_budget_can_set_one() {
        let (count, rung) = counter();
        let mut cx = Context::from_waker(Waker::noop());
        while tokio::task::coop::has_budget_remaining() {
            let _ = std::pin::pin!(tokio::task::consume_budget()).poll(&mut cx);
        }
        let _alarm = Alarm::set(Instant::now() + SECOND, move || {
            count.fetch_add(1, Ordering::SeqCst);
            None
        });
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(rung(), 1);
    }
}
