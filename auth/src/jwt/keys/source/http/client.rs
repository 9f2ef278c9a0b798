use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use super::config::{HttpConfig, Roots};
use super::tls::{self, NoTls};
use crate::jwt::keys::events::FetchResult;
use crate::jwt::keys::source::{MAX_SET_BYTES, NoKeys};

/// Fetches small documents. It follows no redirect and keeps no connection. The caller limits the time.
pub(super) struct HttpClient {
    client: Connected,
    /// The file of trusted certificates, which can change.
    roots: Option<PathBuf>,
    bearer: Option<Bearer>,
    plain: bool,
}

#[derive(Clone)]
enum Connected {
    Tls(Client<HttpsConnector<HttpConnector>, Empty<Bytes>>),
    /// There is no TLS provider, and the first URL needs none.
    Plain(Client<HttpConnector, Empty<Bytes>>),
}

/// A token that is sent only to one server, regardless of the discovery document.
struct Bearer {
    file: Arc<Path>,
    to: Origin,
}

/// Scheme, host and port.
#[derive(Debug, PartialEq, Eq)]
struct Origin(Option<Scheme>, Option<String>, Option<u16>);

/// Some servers serve key sets only with the media type of RFC 7517 §8.5: that of Kubernetes.
const ACCEPTED: HeaderValue =
    HeaderValue::from_static("application/jwk-set+json, application/json");

const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("tonic-auth-layer/", env!("CARGO_PKG_VERSION")));

impl HttpClient {
    /// A client whose first request goes to that URL.
    pub(super) fn new(config: &HttpConfig, first: &Uri) -> Result<Self, NoTls> {
        let with_tls = first.scheme() == Some(&Scheme::HTTPS);
        let client = Connected::new(tls::config(config.roots.as_ref(), with_tls)?);
        let roots = match &config.roots {
            Some(Roots::File(path)) => Some(path.clone()),
            _ => None,
        };
        let bearer = config.bearer_file.as_deref();
        let bearer = bearer.map(|file| Bearer { file: file.into(), to: Origin::of(first) });
        Ok(Self { client, roots, bearer, plain: config.plain })
    }

    /// Whether keys may be fetched without TLS from any host.
    pub(super) fn plain(&self) -> bool {
        self.plain
    }

    /// A client that trusts the current certificates of the file; the first ones if it can't be read.
    async fn client(&self) -> Connected {
        let Some(path) = self.roots.clone() else { return self.client.clone() };
        let anew = move || tls::config(Some(&Roots::File(path)), false).map(Connected::new);
        match tokio::task::spawn_blocking(anew).await {
            Ok(Ok(client)) => client,
            _ => self.client.clone(),
        }
    }

    pub(super) async fn get(&self, uri: Uri) -> Result<Vec<u8>, NoKeys> {
        let to = Origin::of(&uri);
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        request.headers_mut().insert(ACCEPT, ACCEPTED);
        request.headers_mut().insert(USER_AGENT, OURSELVES);
        if let Some(own) = self.bearer.as_ref().filter(|own| own.to == to) {
            request.headers_mut().insert(AUTHORIZATION, bearer(Arc::clone(&own.file)).await?);
        }
        let response = self.client().await.request(request).await?;
        if response.status() != StatusCode::OK {
            let elsewhere = match &self.bearer {
                Some(own) if own.to != to => {
                    " (without the token, which is only for the issuer's server)"
                }
                _ => "",
            };
            let why = format!("the response was {}{elsewhere}", response.status());
            return Err(NoKeys::new(FetchResult::Status, why));
        }
        match Limited::new(response.into_body(), MAX_SET_BYTES).collect().await {
            Ok(body) => Ok(body.to_bytes().into()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(NoKeys::new(FetchResult::TooLarge, "the response was larger than 1 MiB"))
            }
            Err(error) => Err(unreachable(&*error)),
        }
    }
}

impl Origin {
    fn of(uri: &Uri) -> Self {
        let port = uri.port_u16().or_else(|| match uri.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        });
        Self(uri.scheme().cloned(), uri.host().map(str::to_ascii_lowercase), port)
    }
}

impl Connected {
    fn new(tls: Option<ClientConfig>) -> Self {
        // A connection that is kept for minutes is often broken when it is used again.
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_max_idle_per_host(0);
        let Some(tls) = tls else { return Self::Plain(client.build_http()) };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // The scheme was checked before.
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .build();
        Self::Tls(client.build(connector))
    }

    async fn request(&self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, NoKeys> {
        let answer = match self {
            Self::Tls(client) => client.request(request).await,
            Self::Plain(_) if request.uri().scheme() == Some(&Scheme::HTTPS) => {
                let why = "it is https, and there is no TLS provider: see the features `tls-ring` and \
                           `tls-aws-lc`";
                return Err(NoKeys::new(FetchResult::Refused, why));
            }
            Self::Plain(client) => client.request(request).await,
        };
        answer.map_err(|error| unreachable(&error))
    }
}

fn unreachable(error: &dyn Error) -> NoKeys {
    NoKeys::new(FetchResult::Unreachable, causes(error))
}

async fn bearer(path: Arc<Path>) -> Result<HeaderValue, NoKeys> {
    let read = tokio::task::spawn_blocking(move || {
        let describe =
            |error: std::io::Error| format!("{}: {error}", PathBuf::from(&*path).display());
        std::fs::read_to_string(&path).map_err(describe)
    });
    let refused = |why| NoKeys::new(FetchResult::Refused, why);
    let text = read.await.unwrap_or_else(|error| Err(error.to_string())).map_err(refused)?;
    let token = Some(text.trim()).filter(|token| !token.is_empty());
    let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.ok_or_else(|| refused("the bearer file contains no token".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with its causes: often only the last one says that the connection was refused.
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

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider as aws_lc;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn certified() -> CertifiedKey<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate")
    }

    /// Answers each request over TLS with `404`.
    async fn serve(listener: TcpListener, own: CertifiedKey<rcgen::KeyPair>) {
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(aws_lc());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .expect("a certificate");
        let tls = TlsAcceptor::from(Arc::new(config));
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut socket) = tls.accept(socket).await else { continue };
            let _ = socket.read_u8().await;
            let _ = socket.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await;
            let _ = socket.shutdown().await;
        }
    }

    #[tokio::test]
    async fn a_file_of_certificates_is_read_again() {
        // Needed with some combinations of features; an installed provider works as well.
        let _ = aws_lc().install_default();
        let own = certified();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), certified().cert.pem()).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let port = listener.local_addr().expect("an address").port();
        let uri: Uri = format!("https://localhost:{port}/keys").parse().expect("a URL");
        let pem = own.cert.pem();
        tokio::spawn(serve(listener, own));

        let roots = Some(Roots::File(file.path().to_owned()));
        let config = HttpConfig { roots, ..HttpConfig::default() };
        let client = HttpClient::new(&config, &uri).expect("a client");
        let result = async || client.get(uri.clone()).await.expect_err("no keys").result;
        assert_eq!(result().await, FetchResult::Unreachable, "another's certificate");
        std::fs::write(file.path(), pem).expect("written");
        assert_eq!(result().await, FetchResult::Status);
        std::fs::write(file.path(), "").expect("written");
        assert_eq!(result().await, FetchResult::Unreachable, "as at first");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|url| url.parse::<Uri>().expect("a URL"));
            Origin::of(&one) == Origin::of(&other)
        };
        assert!(same("https://id.example/a", "https://ID.example:443/b?c"));
        for other in [
            "http://id.example/",
            "https://id.example:444/",
            "https://id.example.evil.example/",
            "https://www.id.example/",
        ] {
            assert!(!same("https://id.example/", other), "{other}");
        }
    }
}
