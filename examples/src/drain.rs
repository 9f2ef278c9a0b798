//! How the server goes down, so that no call is lost where it can be helped.
//!
//! On SIGTERM, as Kubernetes sends it: not ready at once; serving on for a while, since load balancers
//! take a moment to notice; then no more calls are taken (GOAWAY), running ones finish, and streams that
//! would not end by themselves end `UNAVAILABLE`. On Ctrl-C the same, without the while. Past the limit,
//! or with a second signal, it is over all the same.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long going down may take.
#[derive(Clone, Copy, Debug)]
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

impl Drain {
    /// After SIGTERM the server serves on for `delay`, and it ends `limit` after the signal at the latest.
    /// A delay of more than half the limit is cut to that: running calls need time, too.
    pub fn new(delay: Duration, limit: Duration) -> Self {
        Self { delay: delay.min(limit / 2), limit }
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
            Some(_) = more.recv() => Drained::Hastily,
            () = limit => {
                tracing::warn!("the drain limit is reached: what still runs is cut off");
                Drained::Partly
            }
        }
    }
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
