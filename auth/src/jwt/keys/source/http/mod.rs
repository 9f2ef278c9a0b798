//! Key sets over HTTP, by rustls.

mod address;
mod client;
mod discovery;
mod tls;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use http::Uri;

use self::client::HttpClient;
use self::tls::NoTls;
use super::{NoKeys, Source};
use crate::jwt::config::error::JwtError;

/// How an issuer's server is talked to.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpSettings {
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

impl HttpSettings {
    /// What Kubernetes mounts into each pod, where nothing else was said.
    pub(crate) fn kubernetes(mut self) -> Self {
        let mounted =
            |name| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount").join(name);
        self.roots.get_or_insert_with(|| Roots::File(mounted("ca.crt")));
        self.bearer_file.get_or_insert_with(|| mounted("token"));
        self
    }
}

/// The keys that a server shows.
pub(crate) struct HttpKeys {
    client: HttpClient,
    place: Place,
}

enum Place {
    /// They are here.
    At(Uri),
    /// A document of the issuer says where.
    Discovered { issuer: String, document: Uri },
}

impl HttpKeys {
    pub(crate) fn at(issuer: &str, url: &str, settings: &HttpSettings) -> Result<Self, JwtError> {
        let uri = address::parse(url, settings.plain);
        let uri = uri.map_err(|problem| setting(issuer, "jwks_url", problem))?;
        Self::new(issuer, Place::At(uri), settings)
    }

    pub(crate) fn discovered(issuer: &str, settings: &HttpSettings) -> Result<Self, JwtError> {
        let document = address::parse(&discovery::document_of(issuer), settings.plain);
        let document = document.map_err(|problem| setting(issuer, "discover", problem))?;
        let place = Place::Discovered { issuer: issuer.to_owned(), document };
        Self::new(issuer, place, settings)
    }

    fn new(issuer: &str, place: Place, settings: &HttpSettings) -> Result<Self, JwtError> {
        let (Place::At(first) | Place::Discovered { document: first, .. }) = &place;
        let client = HttpClient::new(settings, first);
        let client = client.map_err(|problem| match problem {
            NoTls::Provider => JwtError::NoTls { issuer: issuer.to_owned() },
            NoTls::Roots(problem) => setting(issuer, "root_certificates", &problem),
        })?;
        Ok(Self { client, place })
    }

    async fn text(&self) -> Result<Vec<u8>, NoKeys> {
        match &self.place {
            Place::At(uri) => self.client.get(uri.clone()).await,
            Place::Discovered { issuer, document } => {
                let text = self.client.get(document.clone()).await?;
                let keys = discovery::keys_of(&text, document, issuer, self.client.plain())?;
                self.client.get(keys).await
            }
        }
    }
}

impl Source for HttpKeys {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, NoKeys>> + Send + '_>> {
        Box::pin(self.text())
    }

    fn name(&self) -> &'static str {
        match self.place {
            Place::At(_) => "url",
            Place::Discovered { .. } => "discovery",
        }
    }
}

fn setting(issuer: &str, setting: &'static str, problem: &str) -> JwtError {
    JwtError::Setting { issuer: issuer.to_owned(), setting, problem: problem.to_owned() }
}
