//! What is read again on SIGHUP.

use tokio::task::JoinHandle;

/// The task that waits for SIGHUP, until this is dropped.
pub(crate) struct OnHangup(JoinHandle<()>);

/// Calls `reload` on each SIGHUP. Must be called inside a Tokio runtime.
pub(crate) fn on_hangup(reload: impl Fn() + Send + 'static) -> OnHangup {
    OnHangup(wait(reload))
}

#[cfg(unix)]
fn wait(reload: impl Fn() + Send + 'static) -> JoinHandle<()> {
    use tokio::signal::unix::{SignalKind, signal};

    // Registered here, not in the task: a signal that arrives before the task runs must not end the process.
    let hangups = signal(SignalKind::hangup());
    tokio::spawn(async move {
        match hangups {
            Ok(mut hangups) => {
                while hangups.recv().await.is_some() {
                    reload();
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot listen for SIGHUP: it does not make the server read its files again");
            }
        }
    })
}

/// This platform has no SIGHUP.
#[cfg(not(unix))]
fn wait(_: impl Fn() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async {})
}

impl Drop for OnHangup {
    fn drop(&mut self) {
        self.0.abort();
    }
}
