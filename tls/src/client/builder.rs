use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::time_provider::TimeProvider;

use super::config::{ClientRecipe, ClientReloader};
use super::endpoint::{TlsEndpoint, TlsEndpointError};
use crate::material::{FileRole, TlsError, TlsFile};
use crate::provider;
use crate::reload::{OnReload, ReloadEvent, Settings, TlsStatus};

/// TLS of a client, from files that are renewed while it runs.
///
/// Server CAs, the client's certificate and its key are checked and replaced together. Connections that exist keep
/// what they were made with.
///
/// Clones share the configuration. The files are read in the background for as long as one of them exists.
#[derive(Clone)]
pub struct ClientTls(Arc<ClientReloader>);

/// Builds a [`ClientTls`].
#[derive(Clone)]
#[must_use = "call `build()` to read the files"]
pub struct ClientTlsBuilder {
    roots: Vec<TlsFile>,
    identity: Option<(TlsFile, TlsFile)>,
    revocation_lists: Option<TlsFile>,
    settings: Settings,
}

impl ClientTls {
    /// Trusts servers with a certificate of one of the CAs in a PEM file. For servers of the public internet, name the
    /// system's bundle, such as `/etc/ssl/certs/ca-certificates.crt`.
    pub fn from_files(server_ca: impl AsRef<Path>) -> ClientTlsBuilder {
        let builder = ClientTlsBuilder {
            roots: Vec::new(),
            identity: None,
            revocation_lists: None,
            settings: Settings::default(),
        };
        builder.server_ca(server_ca)
    }

    /// The endpoint of an `https` address: see [`TlsEndpoint`].
    ///
    /// # Errors
    ///
    /// If the address is not `https`, or has no valid host.
    pub fn endpoint<U>(&self, address: U) -> Result<TlsEndpoint, TlsEndpointError>
    where
        U: TryInto<Uri>,
        U::Error: Into<http::Error>,
    {
        let address = address.try_into().map_err(|error| TlsEndpointError::uri(error.into()))?;
        TlsEndpoint::new(Arc::clone(&self.0), &address)
    }

    /// The newest configuration, for a connector of your own. Load it for each connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.started_config()
    }

    /// What is in use now.
    pub fn status(&self) -> TlsStatus {
        self.0.status()
    }

    /// Reads the files now. Returns whether changed files came into use.
    ///
    /// # Errors
    ///
    /// If the files can't be used. The previous ones stay in use.
    pub async fn reload(&self) -> Result<bool, Arc<TlsError>> {
        self.0.check().await
    }
}

impl ClientTlsBuilder {
    /// Also trusts the CAs in this PEM file.
    pub fn server_ca(mut self, path: impl AsRef<Path>) -> Self {
        self.roots.push(TlsFile::new(FileRole::ServerCa, path.as_ref()));
        self
    }

    /// Presents the certificate (and its intermediate certificates) and the private key in these PEM files to servers
    /// that ask for one.
    pub fn certificate(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.identity = Some((TlsFile::certificate(certificate), TlsFile::key(key)));
        self
    }

    /// Refuses servers whose certificates the revocation lists in a PEM file revoke. Each CA of a chain needs a list
    /// in the file. A list that is older than its `nextUpdate` is still used.
    pub fn revocation_lists(mut self, path: impl AsRef<Path>) -> Self {
        self.revocation_lists = Some(TlsFile::new(FileRole::RevocationList, path.as_ref()));
        self
    }

    /// How often the files are read. Default: 10 s; at least 100 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.set_interval(interval);
        self
    }

    /// Calls `hook` for changed files, whether they are used or not.
    pub fn on_reload(mut self, hook: impl Fn(&ReloadEvent<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_reload = OnReload::new(hook);
        self
    }

    /// Uses this cryptography. Default: the process's default provider, otherwise that of the
    /// [features](crate#features).
    pub fn with_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.settings.provider = Some(provider);
        self
    }

    /// Uses this clock for the validity of certificates. Default: the system's clock.
    pub fn with_time_provider(mut self, time: Arc<dyn TimeProvider>) -> Self {
        self.settings.time = time;
        self
    }

    /// Reads and checks the files. Blocks while it reads them.
    ///
    /// # Errors
    ///
    /// If the files can't be used, or there is no cryptography. The error names the file.
    pub fn build(self) -> Result<ClientTls, TlsError> {
        let provider = provider::choose(self.settings.provider.clone())?;
        let mut files = self.roots;
        files.extend(self.identity.into_iter().flat_map(|(certificate, key)| [certificate, key]));
        files.extend(self.revocation_lists);
        let time = Arc::clone(&self.settings.time);
        let recipe = ClientRecipe { files, provider, time };
        ClientReloader::new(recipe, self.settings).map(ClientTls)
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientTlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsBuilder")
            .field("server_ca", &self.roots)
            .field("certificate", &self.identity)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
