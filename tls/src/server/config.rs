//! Makes a rustls `ServerConfig` from the contents of files.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientCertVerifierBuilder, ServerSessionMemoryCache, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;

use super::client_ca::{Bundles, ClientCa};
use super::trust_domains::TrustDomains;
use crate::material::{
    Contents, FileRole, Problem, TlsError, TlsFile, Validity, identity, revocation_lists, roots,
};
use crate::reload::{Recipe, Reloader};

/// How many sessions clients can resume: the default of rustls, which searches their list one by one. With 1,024, a
/// resumed handshake took 4 % longer.
///
/// The store belongs to one configuration: a client that was accepted by a CA that is gone can't come back by a session.
/// Session tickets without a store would need keys that are dropped as well.
const SESSIONS: usize = 256;

/// How many bytes of CA names a server sends, from which a client can choose its certificate. RFC 8446 §4.2.4 allows
/// 64 KiB, but Java refuses handshake messages longer than 32 KiB. With more, a server sends none: then a client
/// presents what it has.
const MAX_HINTS: usize = 16 * 1024;

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

/// A file with its content.
type Read<'a> = (&'a TlsFile, &'a [u8]);

/// A file with its revocation lists.
type Lists<'a> = (&'a TlsFile, Vec<CertificateRevocationListDer<'static>>);

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

    fn client_verifier(&self, files: &[Read<'_>]) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(ca) = &self.client_ca else { return Ok(WebPkiClientVerifier::no_client_auth()) };
        let with = |role| files.iter().copied().filter(move |(file, _)| file.role == role);
        let lists = match with(FileRole::RevocationList).next() {
            Some((file, pem)) => Some((file, revocation_lists(file, pem)?)),
            None => None,
        };
        let bundles = with(FileRole::ClientCa).map(|bundle| Ok((bundle.0, roots([bundle])?)));
        let bundles = bundles.collect::<Result<Vec<_>, TlsError>>()?;
        let names = bundles.iter().flat_map(|(_, trusted)| trusted.subjects());
        let hints = names.map(|name| name.as_ref().len() + 2).sum::<usize>() <= MAX_HINTS;
        let verifiers = bundles.into_iter().map(|(file, trusted)| {
            let provider = Arc::clone(&self.provider);
            let builder = WebPkiClientVerifier::builder_with_provider(trusted, provider);
            let builder = if hints { builder } else { builder.clear_root_hint_subjects() };
            configure(builder, ca, file, &lists)
        });
        let mut verifiers = verifiers.collect::<Result<Vec<_>, _>>()?.into_iter();
        let verifier = match &ca.bundles {
            Bundles::One(_) => verifiers.next(),
            Bundles::TrustDomains(named) => {
                let names = named.iter().map(|(name, _)| name.clone());
                let by_name = TrustDomains::new(names.zip(verifiers).collect());
                by_name.map(|by_name| Arc::new(by_name) as _)
            }
        };
        // There is a bundle: checked when the server was built.
        verifier.ok_or_else(|| TlsError::without_file(Problem::TrustDomain(String::new())))
    }
}

/// The verifier for the CAs of one bundle.
fn configure(
    mut builder: ClientCertVerifierBuilder,
    ca: &ClientCa,
    file: &TlsFile,
    lists: &Option<Lists<'_>>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if ca.optional {
        builder = builder.allow_unauthenticated();
    }
    if ca.allow_unknown_revocation {
        builder = builder.allow_unknown_revocation_status();
    }
    if let Some((_, lists)) = lists {
        builder = builder.with_crls(lists.iter().cloned());
    }
    builder.build().map_err(|error| match (error, lists) {
        (VerifierBuilderError::InvalidCrl(why), Some((file, _))) => {
            TlsError::of(file, Problem::Malformed(format!("{why:?}")))
        }
        (error, _) => TlsError::of(file, Problem::Unusable(error.to_string())),
    })
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
        let files: Vec<Read<'_>> =
            self.files.iter().zip(contents.iter().map(Vec::as_slice)).collect();
        let (identity, validity) = identity(files[0], files[1], &self.provider, now)?;
        let verifier = self.client_verifier(&files)?;
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
