use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Calls a function at a given time, unless it is dropped before.
///
/// There is no task until then, so an alarm that does not ring costs a timer and two allocations. It rings in a task
/// of its own: even while the task that set it is not polled, for example because an HTTP caller reads nothing. Time is
/// tokio's, which tests can pause.
///
/// The function returns when to ring again, or `None`.
pub struct Alarm(Arc<dyn Stop>);

/// The state of an alarm, and the waker of its timer: they hold each other until the alarm is dropped.
struct Bell<F> {
    /// `None` once the alarm was dropped.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
    runtime: Handle,
    ring: F,
}

/// A bell without the type of its function.
trait Stop: Send + Sync {
    fn stop(&self);
}

impl Alarm {
    /// Sets an alarm.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with time enabled.
    pub fn set(at: Instant, ring: impl Fn() -> Option<Instant> + Send + Sync + 'static) -> Self {
        let timer = Mutex::new(Some(Box::pin(sleep_until(at))));
        let bell = Arc::new(Bell { timer, runtime: Handle::current(), ring });
        bell.wait();
        Self(bell)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<F: Send + Sync> Stop for Bell<F> {
    fn stop(&self) {
        // Dropped without the lock: the timer takes a lock of the runtime.
        let timer = self.timer().take();
        drop(timer);
    }
}

impl<F> Bell<F> {
    fn timer(&self) -> MutexGuard<'_, Option<Pin<Box<Sleep>>>> {
        self.timer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Bell<F>
where
    F: Fn() -> Option<Instant> + Send + Sync + 'static,
{
    /// Lets the timer wake this bell, or rings if the time has come.
    fn wait(self: &Arc<Self>) {
        let waker = Waker::from(Arc::clone(self));
        let mut timer = self.timer();
        let Some(sleep) = timer.as_mut() else { return };
        // A task must not run out of its budget here: nothing would poll the timer again.
        let poll = pin!(unconstrained(sleep)).poll(&mut Context::from_waker(&waker));
        drop(timer);
        if poll.is_ready() {
            waker.wake();
        }
    }

    /// Rings, unless it is too early, or the alarm was dropped.
    fn woken(self: &Arc<Self>) {
        let Some(at) = self.timer().as_ref().map(|timer| timer.deadline()) else { return };
        if at <= Instant::now() {
            let Some(next) = (self.ring)() else { return };
            if let Some(timer) = self.timer().as_mut() {
                timer.set(sleep_until(next));
            }
        }
        self.wait();
    }
}

impl<F> Wake for Bell<F>
where
    F: Fn() -> Option<Instant> + Send + Sync + 'static,
{
    /// Runs in the timer driver, where foreign code must not: that of `ring` may take long, or panic.
    fn wake(self: Arc<Self>) {
        // Weak, so that dropping the alarm before this task runs drops what its function holds.
        let bell = Arc::downgrade(&self);
        // When the runtime shuts down, the driver wakes too, and the task is dropped.
        self.runtime.spawn(async move {
            if let Some(bell) = bell.upgrade() {
                bell.woken();
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
    async fn an_alarm_that_its_function_drops_is_silent_and_holds_nothing() {
        let (count, rung) = counter();
        let held = Arc::downgrade(&count);
        let slot = Arc::new(Mutex::new(None));
        let own = Arc::clone(&slot);
        let alarm = Alarm::set(Instant::now() + SECOND, move || {
            count.fetch_add(1, Ordering::SeqCst);
            drop(own.lock().expect("no panic").take());
            Some(Instant::now() + SECOND)
        });
        *slot.lock().expect("no panic") = Some(alarm);
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(rung(), 1);
        assert_eq!(held.strong_count(), 1);
        assert_eq!(Arc::strong_count(&slot), 1);
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
