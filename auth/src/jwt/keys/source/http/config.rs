use std::path::PathBuf;

/// How keys are fetched from an issuer's server.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpConfig {
    /// The trusted root certificates. Default: those of the platform.
    pub(crate) roots: Option<Roots>,
    /// A file with the token for the server.
    pub(crate) bearer_file: Option<PathBuf>,
    /// Whether connections without TLS are allowed.
    pub(crate) plain: bool,
}

/// Certificates, as PEM.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    Pem(Vec<u8>),
    File(PathBuf),
}

impl HttpConfig {
    /// Uses what Kubernetes mounts into each pod, unless something else was set.
    pub(crate) fn kubernetes(mut self) -> Self {
        let mounted =
            |name| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount").join(name);
        self.roots.get_or_insert_with(|| Roots::File(mounted("ca.crt")));
        self.bearer_file.get_or_insert_with(|| mounted("token"));
        self
    }
}
