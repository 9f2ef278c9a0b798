//! Key sets over HTTP, by rustls.

mod address;
mod client;
mod discovery;
mod settings;
mod tls;

use std::future::Future;
use std::pin::Pin;

use http::Uri;

use self::client::HttpClient;
pub(crate) use self::settings::{HttpSettings, Roots};
use self::tls::NoTls;
use super::{NoKeys, Source};

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

/// Why keys can't be fetched from where they are configured to be.
pub(crate) enum BadSource {
    /// They are reached over `https`, and there is no TLS provider.
    NoTls,
    /// A setting of the issuer is wrong.
    Setting { setting: &'static str, problem: String },
}

impl HttpKeys {
    pub(crate) fn at(url: &str, settings: &HttpSettings) -> Result<Self, BadSource> {
        Self::new(Place::At(address("jwks_url", url, settings)?), settings)
    }

    pub(crate) fn discovered(issuer: &str, settings: &HttpSettings) -> Result<Self, BadSource> {
        let document = address("discover", &discovery::document_of(issuer), settings)?;
        Self::new(Place::Discovered { issuer: issuer.to_owned(), document }, settings)
    }

    fn new(place: Place, settings: &HttpSettings) -> Result<Self, BadSource> {
        let (Place::At(first) | Place::Discovered { document: first, .. }) = &place;
        let client = HttpClient::new(settings, first).map_err(|problem| match problem {
            NoTls::Provider => BadSource::NoTls,
            NoTls::Roots(problem) => BadSource::Setting { setting: "root_certificates", problem },
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

fn address(setting: &'static str, url: &str, settings: &HttpSettings) -> Result<Uri, BadSource> {
    address::parse(url, settings.plain)
        .map_err(|problem| BadSource::Setting { setting, problem: problem.to_owned() })
}
