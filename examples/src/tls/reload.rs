//! Reads the TLS files on SIGHUP.

use crate::hangup::{OnHangup, on_hangup};

use super::handshake::Tls;

impl Tls {
    /// Reads the files on each SIGHUP, without waiting for the next time, until the returned value is dropped. Must be
    /// called inside a Tokio runtime.
    pub(crate) fn reload_on_hangup(&self) -> OnHangup {
        let server = self.server.clone();
        on_hangup(move || {
            let server = server.clone();
            tokio::spawn(async move {
                // Errors and renewals are logged there.
                if let Ok(false) = server.reload().await {
                    tracing::info!("the TLS files have not changed");
                }
            });
        })
    }
}
