use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{HttpSettings, Roots};
use crate::jwt::events::FetchResult;
use crate::jwt::source::{NoKeys, SET_AT_MOST};

/// Gets one small document at a time. It follows no redirect, keeps no connection, and never waits
/// with a lock held. How long it takes is bounded by who calls it.
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    bearer_file: Option<Arc<Path>>,
    plain: bool,
}

impl HttpClient {
    /// A client whose first request goes to that address.
    pub(super) fn new(settings: &HttpSettings, first: &Uri) -> Result<Self, String> {
        let with_tls = first.scheme() == Some(&Scheme::HTTPS);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings.roots.as_ref(), with_tls)?)
            // Which scheme may be asked was seen to before.
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        // A connection that is kept for minutes is mostly one that breaks when it is needed.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        let bearer_file = settings.bearer_file.as_deref().map(Arc::from);
        Ok(Self { client, bearer_file, plain: settings.plain })
    }

    /// Whether any host may be asked without TLS.
    pub(super) fn plain(&self) -> bool {
        self.plain
    }

    pub(super) async fn get(&self, uri: Uri) -> Result<Vec<u8>, NoKeys> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(ACCEPT, json);
        if let Some(path) = &self.bearer_file {
            request.headers_mut().insert(AUTHORIZATION, bearer(Arc::clone(path)).await?);
        }
        let unreachable = |error: &dyn Error| NoKeys::new(FetchResult::Unreachable, causes(error));
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            let why = format!("the answer was {}", response.status());
            return Err(NoKeys::new(FetchResult::Status, why));
        }
        match Limited::new(response.into_body(), SET_AT_MOST).collect().await {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(NoKeys::new(FetchResult::TooLarge, "the answer was larger than 1 MiB"))
            }
            Err(error) => Err(unreachable(&*error)),
        }
    }
}

/// Where TLS is not needed at first, roots may be missing: a container that asks a sidecar need not have
/// any. Then nobody is trusted.
fn tls(roots: Option<&Roots>, needed: bool) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match roots {
        Some(Roots::Pem(pem)) => config.with_root_certificates(certificates(pem)?),
        Some(Roots::File(path)) => {
            let pem =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            config.with_root_certificates(certificates(&pem)?)
        }
        None => match config.clone().with_native_roots() {
            Ok(config) => config,
            Err(_) if !needed => config.with_root_certificates(RootCertStore::empty()),
            Err(error) => return Err(error.to_string()),
        },
    };
    Ok(config.with_no_client_auth())
}

fn certificates(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("no certificate in it".to_owned()) } else { Ok(roots) }
}

async fn bearer(path: Arc<Path>) -> Result<HeaderValue, NoKeys> {
    let read = tokio::task::spawn_blocking(move || {
        let told = |error: std::io::Error| format!("{}: {error}", PathBuf::from(&*path).display());
        std::fs::read_to_string(&path).map_err(told)
    });
    let refused = |why| NoKeys::new(FetchResult::Refused, why);
    let text = read.await.unwrap_or_else(|error| Err(error.to_string())).map_err(refused)?;
    let value = HeaderValue::try_from(format!("Bearer {}", text.trim()));
    let mut value = value.map_err(|_| refused("the bearer file has no token in it".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error and what caused it: that a connection was refused is only said by the last.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a `String` does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
