use std::sync::Arc;

use crate::material::{TlsError, Validity};

/// What TLS uses now. Fit for metrics: a gauge of `not_after`, a counter of `renewals`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsStatus {
    /// The validity of the certificate in use; `None` if a client has no certificate.
    pub validity: Option<Validity>,
    /// How often changed files came into use since the start.
    pub renewals: u64,
    /// Why the files as they are now are not used; `None` if they are.
    pub error: Option<Arc<TlsError>>,
}
