//! The phases of a shutdown, and how long they may take.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::signals::Signal;

/// The delay and the limit of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    delay: Duration,
    limit: Duration,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call has ended by itself.
    Complete,
    /// Calls were still running at the drain limit.
    TimedOut,
    /// Calls were still running when a second signal arrived.
    Forced,
}

/// The delay is longer than the limit: running calls would have no time to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayTooLong {
    delay: Duration,
    limit: Duration,
}

impl fmt::Display for DelayTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay, limit } = self;
        write!(
            f,
            "the drain delay ({delay:?}) is longer than the drain limit ({limit:?}), which includes it: \
             decrease --drain-delay, or increase --drain-limit"
        )
    }
}

impl std::error::Error for DelayTooLong {}

/// Kubernetes signals the pod and its load balancers at the same time, and load balancers need a moment.
const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// `timeout(1)` and similar tools signal a process and then its process group: one signal, received twice.
const DUPLICATE_SIGNAL: Duration = Duration::from_millis(500);

impl Drain {
    /// After SIGTERM the server keeps serving for `delay`; it ends at most `limit` after the signal. The default
    /// delay is 5 s, or half of the limit if that is less.
    pub fn new(delay: Option<Duration>, limit: Duration) -> Result<Self, DelayTooLong> {
        let delay = delay.unwrap_or(DEFAULT_DELAY.min(limit / 2));
        if delay > limit { Err(DelayTooLong { delay, limit }) } else { Ok(Self { delay, limit }) }
    }

    /// Runs the phases after the first `signal`: `not_serving`, the delay, `finish`.
    pub(crate) async fn run(
        self,
        signal: Signal,
        more: &mut mpsc::UnboundedReceiver<Signal>,
        not_serving: impl Future<Output = ()>,
        finish: impl Future<Output = ()>,
    ) -> Drained {
        let limit = tokio::time::sleep_until(Instant::now() + self.limit);
        let delay = match signal {
            Signal::Terminate => self.delay,
            Signal::Interrupt => Duration::ZERO,
        };
        tracing::info!(?signal, ?delay, limit = ?self.limit, "draining: health is not serving");
        let phases = async {
            not_serving.await;
            tokio::time::sleep(delay).await;
            tracing::info!("draining: no new calls, waiting for running calls");
            finish.await;
        };
        tokio::select! {
            biased;
            () = phases => {
                tracing::info!("drained");
                Drained::Complete
            }
            () = second_signal(signal, more) => Drained::Forced,
            () = limit => {
                tracing::warn!("the drain limit is reached: running calls are ended");
                Drained::TimedOut
            }
        }
    }
}

/// Returns at a signal that is not a duplicate of the first.
async fn second_signal(first: Signal, more: &mut mpsc::UnboundedReceiver<Signal>) {
    let began = Instant::now();
    while let Some(signal) = more.recv().await {
        if signal != first || began.elapsed() >= DUPLICATE_SIGNAL {
            return;
        }
    }
    // There are no senders left.
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// How it goes, if calls take 10 s and another signal comes after `wait`.
    async fn with_another(wait: Duration, another: Signal) -> Drained {
        let (sender, mut signals) = mpsc::unbounded_channel();
        let drain = Drain::new(Some(Duration::ZERO), LIMIT).expect("good");
        let calls = tokio::time::sleep(Duration::from_secs(10));
        let run = drain.run(Signal::Terminate, &mut signals, std::future::ready(()), calls);
        let send = async {
            tokio::time::sleep(wait).await;
            _ = sender.send(another);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            drained = run => drained,
            () = send => unreachable!(),
        }
    }

    /// Guards against: `timeout 10 orders serve`, which signals process and group, and so cut calls off.
    #[tokio::test(start_paused = true)]
    async fn an_echo_of_the_signal_is_no_second_one() {
        let soon = Duration::from_millis(499);
        assert_eq!(with_another(Duration::ZERO, Signal::Terminate).await, Drained::Complete);
        assert_eq!(with_another(soon, Signal::Terminate).await, Drained::Complete);
        let later = Duration::from_millis(501);
        assert_eq!(with_another(later, Signal::Terminate).await, Drained::Forced);
        assert_eq!(with_another(Duration::ZERO, Signal::Interrupt).await, Drained::Forced);
    }

    #[test]
    fn a_short_limit_alone_leaves_half_of_itself_to_the_calls() {
        let seconds = Duration::from_secs;
        assert_eq!(Drain::new(None, LIMIT), Drain::new(Some(DEFAULT_DELAY), LIMIT));
        assert_eq!(Drain::new(None, seconds(4)), Drain::new(Some(seconds(2)), seconds(4)));
        Drain::new(Some(seconds(4)), seconds(4)).expect("as it was asked for");
        Drain::new(Some(seconds(5)), seconds(4)).expect_err("no time for calls");
    }
}
