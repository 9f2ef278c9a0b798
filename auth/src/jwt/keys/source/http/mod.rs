//! Fetches key sets over HTTP, with rustls.

mod address;
mod client;
mod config;
mod discovery;

mod tls;

use std::future::Future;
use std::pin::Pin;

use http::Uri;

use self::client::HttpClient;
pub(crate) use self::config::{HttpConfig, Roots};
use self::tls::NoTls;
use super::{NoKeys, Source};

/// Keys from a server.
pub(crate) struct HttpKeys {
    client: HttpClient,
    location: Location,
}

enum Location {
    /// The keys are at this URL.
    At(Uri),
    /// The issuer's discovery document contains the URL.
    Discovered { issuer: String, document: Uri },
}

/// Why keys can't be fetched from where they are configured to be.
pub(crate) enum BadSource {
    /// They are reached over `https`, and there is no TLS provider.
    NoTls,
    /// A setting of the issuer is wrong.
    Setting { setting: &'static str, problem: String },
}

impl HttpKeys {
    pub(crate) fn at(url: &str, config: &HttpConfig) -> Result<Self, BadSource> {
        Self::new(Location::At(address("jwks_url", url, config)?), config)
    }

    pub(crate) fn discovered(issuer: &str, config: &HttpConfig) -> Result<Self, BadSource> {
        let document = address("discover", &discovery::document_of(issuer), config)?;
        Self::new(Location::Discovered { issuer: issuer.to_owned(), document }, config)
    }

    fn new(location: Location, config: &HttpConfig) -> Result<Self, BadSource> {
        let (Location::At(first) | Location::Discovered { document: first, .. }) = &location;
        let client = HttpClient::new(config, first).map_err(|problem| match problem {
            NoTls::Provider => BadSource::NoTls,
            NoTls::Roots(problem) => BadSource::Setting { setting: "root_certificates", problem },
        })?;
        Ok(Self { client, location })
    }

    async fn text(&self) -> Result<Vec<u8>, NoKeys> {
        match &self.location {
            Location::At(uri) => self.client.get(uri.clone()).await,
            Location::Discovered { issuer, document } => {
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
        match self.location {
            Location::At(_) => "url",
            Location::Discovered { .. } => "discovery",
        }
    }
}

fn address(setting: &'static str, url: &str, config: &HttpConfig) -> Result<Uri, BadSource> {
    address::parse(url, config.plain)
        .map_err(|problem| BadSource::Setting { setting, problem: problem.to_owned() })
}
