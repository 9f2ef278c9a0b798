//! Makes a rustls `ServerConfig` from the contents of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};

use super::client_ca::{Bundles, ClientCa};
use super::trust_domains::TrustDomains;
use crate::material::{
    Contents, Problem, TlsError, TlsFile, Validity, identity, revocation_lists, roots,
};
use crate::reload::{Recipe, Reloader};

/// How many sessions clients can resume. Belongs to one configuration: whoever was let in by a CA that is gone can't
/// come back by a session. So there are no session tickets without state either, whose keys would have to be dropped.
const SESSIONS: usize = 1024;

/// The configuration of a server, and what renews it.
pub(super) type ServerReloader = Reloader<ServerRecipe>;

/// How a server's configuration is made.
pub(super) struct ServerRecipe {
    /// Certificate, key, and the files of the client CA.
    files: Vec<TlsFile>,
    client_ca: Option<ClientCa>,
    http1: bool,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
}

impl ServerRecipe {
    pub(super) fn new(
        (certificate, key): (TlsFile, TlsFile),
        client_ca: Option<ClientCa>,
        http1: bool,
        provider: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
    ) -> Self {
        let mut files = vec![certificate, key];
        files.extend(client_ca.iter().flat_map(ClientCa::files));
        Self { files, client_ca, http1, provider, time }
    }

    fn client_verifier(
        &self,
        mut files: &[(&TlsFile, &[u8])],
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(ca) = &self.client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let mut lists = None;
        if ca.revocation_lists.is_some()
            && let [bundles @ .., last] = files
        {
            (files, lists) = (bundles, Some(*last));
        }
        let lists =
            lists.map(|(file, pem)| Ok((file, revocation_lists(file, pem)?))).transpose()?;
        let verifier = |(file, pem)| {
            let trusted = roots([(file, pem)])?;
            let mut builder = self.builder(trusted);
            if ca.optional {
                builder = builder.allow_unauthenticated();
            }
            if ca.allow_unknown_revocation {
                builder = builder.allow_unknown_revocation_status();
            }
            if let Some((_, lists)) = &lists {
                builder = builder.with_crls(lists.iter().cloned());
            }
            builder.build().map_err(|error| match (&error, &lists) {
                (VerifierBuilderError::InvalidCrl(why), Some((file, _))) => {
                    TlsError::of(file, Problem::Malformed(format!("{why:?}")))
                }
                _ => TlsError::of(file, Problem::Unusable(error.to_string())),
            })
        };
        match (&ca.bundles, files) {
            (Bundles::TrustDomains(bundles), files) => {
                let named = bundles.iter().zip(files);
                let verifiers = named.map(|((name, _), file)| Ok((name.clone(), verifier(*file)?)));
                let verifiers = verifiers.collect::<Result<BTreeMap<_, _>, TlsError>>()?;
                // Not empty: checked when the server was built.
                let none = || TlsError::without_file(Problem::TrustDomain(String::new()));
                Ok(Arc::new(TrustDomains::new(verifiers).ok_or_else(none)?))
            }
            (Bundles::One(_), files) => verifier(files[0]),
        }
    }

    fn builder(&self, roots: Arc<RootCertStore>) -> rustls::server::ClientCertVerifierBuilder {
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
    }
}

impl Recipe for ServerRecipe {
    type Config = ServerConfig;

    fn files(&self) -> &[TlsFile] {
        &self.files
    }

    fn make(
        &self,
        contents: &Contents,
        now: UnixTime,
    ) -> Result<(ServerConfig, Option<Validity>), TlsError> {
        let files: Vec<_> = self.files.iter().zip(contents.iter().map(Vec::as_slice)).collect();
        let (identity, validity) = identity(files[0], files[1], &self.provider, now)?;
        let verifier = self.client_verifier(&files[2..])?;
        let (provider, time) = (Arc::clone(&self.provider), Arc::clone(&self.time));
        let builder = ServerConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::without_file(Problem::Unusable(error.to_string())))?;
        let mut config = builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        if self.http1 {
            config.alpn_protocols.push(b"http/1.1".to_vec());
        }
        Ok((config, Some(validity)))
    }
}
