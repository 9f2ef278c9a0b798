//! Whether a layer stands on the side that it was made for.

use std::sync::Once;

use http::Extensions;

use crate::observe::Side;

/// Says once, for one layer, that it was made for clients and seems to stand on a server: it would take the
/// calls that come in for calls of its own.
///
/// Clones of a layer share one, in an `Arc`.
#[derive(Debug)]
pub struct SideCheck(Once);

impl Default for SideCheck {
    fn default() -> Self {
        Self(Once::new())
    }
}

impl SideCheck {
    /// Looks at the extensions of a request that comes to a layer of that name, made for that side. Once it has
    /// spoken, and on a server, it costs nothing more.
    pub fn check(&self, side: Side, extensions: &Extensions, layer: &'static str) {
        if side == Side::Client && !self.0.is_completed() && seems_received(extensions) {
            self.0.call_once(|| {
                tracing::warn!(
                    target: "tonic_call",
                    layer,
                    "a layer for clients seems to stand on a server: its calls come in over a connection, and \
                     no generated client has made them. Should it be made by `server()`, or stand around a \
                     channel? This is a guess, and wrong for a proxy that sends on the requests that it was sent"
                );
            });
        }
    }
}

/// A server has said where the call came from, and no generated client which method it is.
#[cfg(feature = "server")]
fn seems_received(extensions: &Extensions) -> bool {
    let is_generated = extensions.get::<tonic::GrpcMethod<'static>>().is_some();
    !is_generated && crate::Peer::of(extensions).is_some()
}

#[cfg(not(feature = "server"))]
fn seems_received(_: &Extensions) -> bool {
    false
}
