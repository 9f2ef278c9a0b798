//! What a caller wants while there is no connection.

use http::Extensions;

/// Whether a call waits for a connection, up to its deadline, or fails at once without one (gRPC, "Wait for Ready
/// Semantics"). The caller puts it into the request's extensions; a layer that tries again obeys it. It has precedence
/// over `waitForReady` of the service config.
///
/// ```
/// use tonic_call::WaitForReady;
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(WaitForReady(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitForReady(pub bool);

impl WaitForReady {
    /// What the caller has set, if anything.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }
}
