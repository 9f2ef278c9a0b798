//! Whether a layer stands on the side that it was made for.

use std::sync::Once;

use http::Extensions;

use crate::observe::Side;

/// Says once, for one layer, that it seems to stand on the other side: it would see calls, and show them as
/// what they are not.
#[derive(Debug)]
pub(crate) struct SideCheck(Once);

impl Default for SideCheck {
    fn default() -> Self {
        Self(Once::new())
    }
}

impl SideCheck {
    /// Looks at a call of the layer that has this observer.
    pub(crate) fn check(&self, side: Side, extensions: &Extensions, observer: &'static str) {
        if side == Side::Client && !self.0.is_completed() && seems_received(extensions) {
            self.0.call_once(|| {
                tracing::warn!(
                    target: "tonic_call",
                    observer,
                    "a layer that was made by `client()` seems to stand on a server: its calls come in over \
                     a connection, and no generated client has made them. Should it be `server()`? This is a \
                     guess, and wrong for a proxy that sends on the requests that it was sent"
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
