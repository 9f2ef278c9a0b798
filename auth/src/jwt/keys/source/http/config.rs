use std::path::PathBuf;

/// How an issuer's server is talked to.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpConfig {
    /// Whose certificates it may have; by default those that the platform trusts.
    pub(crate) roots: Option<Roots>,
    /// A file with the token that it asks for.
    pub(crate) bearer_file: Option<PathBuf>,
    /// Whether it may be asked without TLS.
    pub(crate) plain: bool,
}

/// Certificates, as PEM.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    Pem(Vec<u8>),
    File(PathBuf),
}

impl HttpConfig {
    /// What Kubernetes mounts into each pod, where nothing else was said.
    pub(crate) fn kubernetes(mut self) -> Self {
        let mounted =
            |name| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount").join(name);
        self.roots.get_or_insert_with(|| Roots::File(mounted("ca.crt")));
        self.bearer_file.get_or_insert_with(|| mounted("token"));
        self
    }
}
