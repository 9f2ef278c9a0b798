//! Detects a layer on the wrong side.

use std::sync::Once;

use http::Extensions;

use crate::observe::Side;

/// Logs a warning, once per layer, if a layer for clients seems to be on a server. Such a layer would treat
/// incoming calls as its own outgoing calls.
///
/// Clones of a layer share one check, in an `Arc`.
#[derive(Debug)]
pub struct SideCheck(Once);

impl Default for SideCheck {
    fn default() -> Self {
        Self(Once::new())
    }
}

impl SideCheck {
    /// Checks the extensions of a request. `layer` is the name of the layer in the log, and `side` the side it
    /// was made for. Costs nothing on a server, or after the warning.
    pub fn check(&self, side: Side, extensions: &Extensions, layer: &'static str) {
        if side == Side::Client && !self.0.is_completed() && seems_received(extensions) {
            self.0.call_once(|| {
                tracing::warn!(
                    target: "tonic_call",
                    layer,
                    "a layer for clients seems to be on a server: its calls arrive over a connection, and no \
                     generated client made them. Use `server()`, or put the layer around a channel. This is \
                     a guess: ignore it in a proxy that forwards the requests it receives"
                );
            });
        }
    }
}

/// Whether a server has recorded a peer, and no generated client has recorded a method.
#[cfg(feature = "server")]
fn seems_received(extensions: &Extensions) -> bool {
    let is_generated = extensions.get::<tonic::GrpcMethod<'static>>().is_some();
    !is_generated && crate::Peer::of(extensions).is_some()
}

#[cfg(not(feature = "server"))]
fn seems_received(_: &Extensions) -> bool {
    false
}
