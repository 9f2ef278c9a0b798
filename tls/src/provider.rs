//! The cryptography that rustls uses.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::material::{Problem, TlsError};

/// The given provider; otherwise the process's default provider, which tonic also uses; otherwise that of a feature.
/// Never left to rustls: with several providers compiled in, it panics.
pub(crate) fn choose(given: Option<Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>, TlsError> {
    given
        .or_else(|| CryptoProvider::get_default().cloned())
        .or_else(of_features)
        .ok_or_else(|| TlsError::without_file(Problem::NoProvider))
}

fn of_features() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "tls-aws-lc")]
    let provider = Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "tls-ring", not(feature = "tls-aws-lc")))]
    let provider = Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "tls-ring", feature = "tls-aws-lc")))]
    let provider = None;
    provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_is_that_of_the_feature_and_of_two_it_is_aws_lc() {
        let expected = match (cfg!(feature = "tls-ring"), cfg!(feature = "tls-aws-lc")) {
            (_, true) => Some("AwsLcRs"),
            (true, false) => Some("Ring"),
            (false, false) => None,
        };
        let random = of_features().map(|provider| format!("{:?}", provider.secure_random));
        assert_eq!(random.as_deref(), expected);
        let missing = choose(None).err().map(|error| error.problem().as_str());
        assert_eq!(missing, expected.is_none().then_some("no_provider"));
    }
}
