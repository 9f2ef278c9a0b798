//! Reads the limit file again on SIGHUP.

use tokio::task::JoinHandle;
use tonic_call::Methods;

use super::call_limits::{CallLimits, LimitLayers};
use super::file::LimitFile;

/// The task that waits for SIGHUP, until this is dropped.
pub(crate) struct Reload(JoinHandle<()>);

impl LimitFile {
    /// Changes the limits of `layers` on each SIGHUP. Must be called inside a Tokio runtime.
    pub(crate) fn reload_on_hangup(self, layers: &LimitLayers, methods: &Methods) -> Reload {
        let before_auth = layers.before_auth.handle();
        let after_auth = layers.after_auth.handle();
        let methods = methods.clone();
        Reload(tokio::spawn(on_hangup(move || {
            // Reading the file builds both layers once, so both handles accept the limits.
            let replaced = self.read(&methods).and_then(|limits| {
                let CallLimits { before_auth: before, after_auth: after, .. } = limits;
                let replaced = before_auth.replace(before).and_then(|()| after_auth.replace(after));
                replaced.map_err(|error| error.to_string())
            });
            match replaced {
                Ok(()) => tracing::info!("the limit file was read again"),
                Err(error) => {
                    tracing::error!(%error, "the limit file is invalid, the limits do not change");
                }
            }
        })))
    }
}

#[cfg(unix)]
async fn on_hangup(reload: impl Fn()) {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::warn!(%error, "cannot listen for SIGHUP: the limit file is not read again");
            return;
        }
    };
    while hangups.recv().await.is_some() {
        reload();
    }
}

/// This platform has no SIGHUP.
#[cfg(not(unix))]
async fn on_hangup(_: impl Fn()) {}

impl Drop for Reload {
    fn drop(&mut self) {
        self.0.abort();
    }
}
