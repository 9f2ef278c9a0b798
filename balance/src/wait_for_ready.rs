use http::Extensions;

/// What a call does while no address is connected (gRPC, "Wait for Ready Semantics").
///
/// Put it into the extensions of a request, where it has precedence over
/// [`BalancedBuilder::wait_for_ready`](crate::BalancedBuilder::wait_for_ready):
///
/// ```
/// use tonic_balance::WaitForReady;
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(WaitForReady(true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WaitForReady(
    /// `true`: the call waits for a connection until its deadline. `false`, gRPC's default: it fails as soon as each
    /// address has failed.
    pub bool,
);

impl WaitForReady {
    /// The value in the extensions of a request.
    pub(crate) fn of(extensions: &Extensions) -> Option<bool> {
        extensions.get::<Self>().map(|wait| wait.0)
    }
}
