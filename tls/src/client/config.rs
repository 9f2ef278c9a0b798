//! Makes a rustls `ClientConfig` from the contents of files.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;

use crate::material::{
    Contents, FileRole, Problem, TlsError, TlsFile, Validity, identity, revocation_lists, roots,
};
use crate::reload::{Recipe, Reloader};

/// The configuration of a client, and what renews it.
pub(super) type ClientReloader = Reloader<ClientRecipe>;

/// How a client's configuration is made.
pub(super) struct ClientRecipe {
    pub(super) files: Vec<TlsFile>,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) time: Arc<dyn TimeProvider>,
}

/// A file with its content.
type Read<'a> = (&'a TlsFile, &'a [u8]);

impl ClientRecipe {
    fn verifier(&self, files: &[Read<'_>]) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
        let with = |role| files.iter().copied().filter(move |(file, _)| file.role == role);
        let trusted = roots(with(FileRole::ServerCa))?;
        let provider = Arc::clone(&self.provider);
        let mut builder = WebPkiServerVerifier::builder_with_provider(trusted, provider);
        let lists_file = with(FileRole::RevocationList).next();
        if let Some((file, pem)) = lists_file {
            builder = builder.with_crls(revocation_lists(file, pem)?);
        }
        builder.build().map_err(|error| match (error, lists_file) {
            (VerifierBuilderError::InvalidCrl(why), Some((file, _))) => {
                TlsError::of(file, Problem::Malformed(format!("{why:?}")))
            }
            (error, _) => TlsError::without_file(Problem::Unusable(error.to_string())),
        })
    }
}

impl Recipe for ClientRecipe {
    type Config = ClientConfig;

    fn files(&self) -> &[TlsFile] {
        &self.files
    }

    fn make(
        &self,
        contents: &Contents,
        now: UnixTime,
    ) -> Result<(ClientConfig, Option<Validity>), TlsError> {
        let files: Vec<Read<'_>> =
            self.files.iter().zip(contents.iter().map(Vec::as_slice)).collect();
        let verifier = self.verifier(&files)?;
        let with = |role| files.iter().copied().find(|(file, _)| file.role == role);
        let identity = match (with(FileRole::Certificate), with(FileRole::Key)) {
            (Some(certificate), Some(key)) => {
                Some(identity(certificate, key, &self.provider, now)?)
            }
            _ => None,
        };
        let (provider, time) = (Arc::clone(&self.provider), Arc::clone(&self.time));
        let builder = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::without_file(Problem::Unusable(error.to_string())))?
            .with_webpki_verifier(verifier);
        let (mut config, validity) = match identity {
            Some((identity, validity)) => {
                let resolver = Arc::new(SingleCertAndKey::from(identity));
                (builder.with_client_cert_resolver(resolver), Some(validity))
            }
            None => (builder.with_no_client_auth(), None),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok((config, validity))
    }
}
