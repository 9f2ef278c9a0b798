//! How the server goes down, so that no call is lost where it can be helped.
//!
//! On SIGTERM, as Kubernetes sends it: not ready at once; serving on for a while, since load balancers
//! take a moment to notice; then no more calls are taken (GOAWAY), running ones finish, and streams that
//! would not end by themselves end `UNAVAILABLE`. On Ctrl-C the same, without the while. Past the limit,
//! or with a second signal, it is over all the same.
//!
//! The limit is for calls that take too long, for peers that have gone silent, and for those that read
//! nothing: a stream whose caller leaves no window has ended here, and cannot be told so.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long going down may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    delay: Duration,
    limit: Duration,
}

/// What asks the server to go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: somebody who has told, or is about to tell, others not to call any more.
    Terminate,
    /// SIGINT, Ctrl-C: somebody who waits for it.
    Interrupt,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every call has ended.
    Wholly,
    /// The limit was reached before that.
    Partly,
    /// A second signal came before that.
    Hastily,
}

/// A delay that is longer than the limit: running calls would have no time at all.
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
            "the drain delay ({delay:?}) is longer than the drain limit ({limit:?}), of which it is \
             a part: give less with --drain-delay, or more with --drain-limit"
        )
    }
}

impl std::error::Error for DelayTooLong {}

/// Kubernetes tells load balancers at the same moment as us, and they take a moment to listen.
const DELAY: Duration = Duration::from_secs(5);

/// `timeout(1)` and the like signal a process and its group: that is one signal, heard twice.
const ECHO: Duration = Duration::from_millis(500);

impl Drain {
    /// After SIGTERM the server serves on for `delay`, and it ends `limit` after the signal at the latest.
    /// Without a delay, it is 5 s or half the limit, whichever is less.
    pub fn new(delay: Option<Duration>, limit: Duration) -> Result<Self, DelayTooLong> {
        let delay = delay.unwrap_or(DELAY.min(limit / 2));
        if delay > limit { Err(DelayTooLong { delay, limit }) } else { Ok(Self { delay, limit }) }
    }

    fn delay_after(self, signal: Signal) -> Duration {
        match signal {
            Signal::Terminate => self.delay,
            Signal::Interrupt => Duration::ZERO,
        }
    }

    /// Goes through the phases, the first `signal` having just come: `not_ready`, the delay, `finish`.
    pub(crate) async fn run(
        self,
        signal: Signal,
        more: &mut mpsc::UnboundedReceiver<Signal>,
        not_ready: impl Future<Output = ()>,
        finish: impl Future<Output = ()>,
    ) -> Drained {
        let limit = tokio::time::sleep_until(Instant::now() + self.limit);
        let delay = self.delay_after(signal);
        tracing::info!(?signal, ?delay, limit = ?self.limit, "draining: not ready any more");
        let phases = async {
            not_ready.await;
            tokio::time::sleep(delay).await;
            tracing::info!("draining: no new calls, waiting for the running ones");
            finish.await;
        };
        tokio::select! {
            biased;
            () = phases => {
                tracing::info!("drained");
                Drained::Wholly
            }
            () = second(signal, more) => Drained::Hastily,
            () = limit => {
                tracing::warn!("the drain limit is reached: what still runs is cut off");
                Drained::Partly
            }
        }
    }
}

/// Ends with a signal that is not merely the echo of the first.
async fn second(first: Signal, more: &mut mpsc::UnboundedReceiver<Signal>) {
    let began = Instant::now();
    while let Some(signal) = more.recv().await {
        if signal != first || began.elapsed() >= ECHO {
            return;
        }
    }
    // Nobody is left who could send one.
    std::future::pending::<()>().await;
}

/// The signals that this process gets from now on.
pub fn signals() -> std::io::Result<mpsc::UnboundedReceiver<Signal>> {
    let (tell, signals) = mpsc::unbounded_channel();
    listen(tell)?;
    Ok(signals)
}

#[cfg(unix)]
fn listen(tell: mpsc::UnboundedSender<Signal>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    // Taken over here and not in the task: a signal that comes before the task runs counts.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            let signal = tokio::select! {
                Some(()) = terminate.recv() => Signal::Terminate,
                Some(()) = interrupt.recv() => Signal::Interrupt,
                else => return,
            };
            if tell.send(signal).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
fn listen(tell: mpsc::UnboundedSender<Signal>) -> std::io::Result<()> {
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() && tell.send(Signal::Interrupt).is_ok() {}
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// How it goes, if calls take 10 s and another signal comes after `wait`.
    async fn with_another(wait: Duration, another: Signal) -> Drained {
        let (tell, mut told) = mpsc::unbounded_channel();
        let drain = Drain::new(Some(Duration::ZERO), LIMIT).expect("good");
        let calls = tokio::time::sleep(Duration::from_secs(10));
        let run = drain.run(Signal::Terminate, &mut told, std::future::ready(()), calls);
        let send = async {
            tokio::time::sleep(wait).await;
            _ = tell.send(another);
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
        assert_eq!(with_another(Duration::ZERO, Signal::Terminate).await, Drained::Wholly);
        assert_eq!(with_another(soon, Signal::Terminate).await, Drained::Wholly);
        let later = Duration::from_millis(501);
        assert_eq!(with_another(later, Signal::Terminate).await, Drained::Hastily);
        assert_eq!(with_another(Duration::ZERO, Signal::Interrupt).await, Drained::Hastily);
    }

    #[test]
    fn a_short_limit_alone_leaves_half_of_itself_to_the_calls() {
        let seconds = Duration::from_secs;
        assert_eq!(Drain::new(None, LIMIT), Drain::new(Some(DELAY), LIMIT));
        assert_eq!(Drain::new(None, seconds(4)), Drain::new(Some(seconds(2)), seconds(4)));
        Drain::new(Some(seconds(4)), seconds(4)).expect("as it was asked for");
        Drain::new(Some(seconds(5)), seconds(4)).expect_err("no time for calls");
    }
}
