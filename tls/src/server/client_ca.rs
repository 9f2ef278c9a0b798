//! Which CAs issue the certificates of clients.

use std::path::{Path, PathBuf};

use crate::material::{FileRole, Problem, TlsError, TlsFile};
use tonic_call::SpiffeId;

/// The CAs whose certificates clients must have: one bundle, or one per SPIFFE trust domain.
///
/// ```
/// use tonic_tls_reload::ClientCa;
///
/// // Each client has a certificate of one of the CAs in this file.
/// let required = ClientCa::bundle("/etc/tls/ca.crt");
/// // A client may also have no certificate.
/// let optional = ClientCa::bundle("/etc/tls/ca.crt").optional();
/// // A client has a SPIFFE ID, and a certificate of a CA of its own trust domain.
/// let mesh = ClientCa::trust_domains([
///     ("prod.example", "/run/spire/prod.pem"),
///     ("partner.example", "/run/spire/partner.pem"),
/// ]);
/// ```
///
/// A path is a bundle: `client_ca("/etc/tls/ca.crt")`.
#[derive(Clone, Debug)]
pub struct ClientCa {
    pub(super) bundles: Bundles,
    pub(super) optional: bool,
    pub(super) revocation_lists: Option<PathBuf>,
    pub(super) allow_unknown_revocation: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Bundles {
    One(PathBuf),
    /// By the name of the trust domain.
    TrustDomains(Vec<(String, PathBuf)>),
}

impl ClientCa {
    /// Trusts the CAs in a PEM file.
    pub fn bundle(path: impl AsRef<Path>) -> Self {
        Self::new(Bundles::One(path.as_ref().to_owned()))
    }

    /// Trusts, for each SPIFFE trust domain, the CAs in a PEM file. A CA of one trust domain can't issue certificates
    /// for another one (gRFC A87).
    ///
    /// Each client needs an X.509-SVID: a certificate with exactly one URI SAN, which is a SPIFFE ID with a path. A
    /// trust domain that is not listed is refused.
    pub fn trust_domains<D, P>(bundles: impl IntoIterator<Item = (D, P)>) -> Self
    where
        D: Into<String>,
        P: AsRef<Path>,
    {
        let bundles = bundles.into_iter();
        let bundles = bundles.map(|(domain, path)| (domain.into(), path.as_ref().to_owned()));
        Self::new(Bundles::TrustDomains(bundles.collect()))
    }

    fn new(bundles: Bundles) -> Self {
        Self { bundles, optional: false, revocation_lists: None, allow_unknown_revocation: false }
    }

    /// Also accepts clients without a certificate. A certificate that is presented must still be good.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Refuses certificates that the certificate revocation lists in a PEM file revoke. The file is renewed as the
    /// others are.
    ///
    /// Each CA of a chain needs a list in the file, or the chain is refused: see
    /// [`allow_unknown_revocation`](Self::allow_unknown_revocation). A list that is older than its `nextUpdate` is
    /// still used.
    pub fn revocation_lists(mut self, path: impl AsRef<Path>) -> Self {
        self.revocation_lists = Some(path.as_ref().to_owned());
        self
    }

    /// Accepts certificates of CAs that have no revocation list in the file.
    pub fn allow_unknown_revocation(mut self) -> Self {
        self.allow_unknown_revocation = true;
        self
    }

    /// The files, with the revocation lists last.
    pub(super) fn files(&self) -> Vec<TlsFile> {
        let paths: Vec<_> = match &self.bundles {
            Bundles::One(path) => vec![path],
            Bundles::TrustDomains(bundles) => bundles.iter().map(|(_, path)| path).collect(),
        };
        let bundles = paths.into_iter().map(|path| TlsFile::new(FileRole::ClientCa, path));
        let lists = self.revocation_lists.iter();
        bundles.chain(lists.map(|path| TlsFile::new(FileRole::RevocationList, path))).collect()
    }

    pub(super) fn check(&self) -> Result<(), TlsError> {
        let Bundles::TrustDomains(bundles) = &self.bundles else { return Ok(()) };
        let bad = |name: &String| TlsError::without_file(Problem::TrustDomain(name.clone()));
        for (place, (name, _)) in bundles.iter().enumerate() {
            let twice = bundles[..place].iter().any(|(other, _)| other == name);
            if twice || !SpiffeId::is_trust_domain(name) {
                return Err(bad(name));
            }
        }
        if bundles.is_empty() { Err(bad(&String::new())) } else { Ok(()) }
    }
}

impl<P: AsRef<Path>> From<P> for ClientCa {
    fn from(path: P) -> Self {
        Self::bundle(path)
    }
}
