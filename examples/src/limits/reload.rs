//! Reads the limit file again on SIGHUP.

use tonic_call::Methods;

use super::call_limits::{CallLimits, LimitLayers};
use super::file::LimitFile;
use crate::hangup::{OnHangup, on_hangup};

impl LimitFile {
    /// Changes the limits of `layers` on each SIGHUP, until the returned value is dropped. Must be called inside a
    /// Tokio runtime.
    pub(crate) fn reload_on_hangup(self, layers: &LimitLayers, methods: &Methods) -> OnHangup {
        let before_auth = layers.before_auth.handle();
        let after_auth = layers.after_auth.handle();
        let methods = methods.clone();
        on_hangup(move || {
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
        })
    }
}
