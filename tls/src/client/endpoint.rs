use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::{PathAndQuery, Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tonic_call::Encrypted;

use super::config::ClientReloader;
use super::connector::TlsConnector;

/// An endpoint whose connections use a [`ClientTls`](super::ClientTls).
///
/// tonic refuses a connector of one's own for an `https` endpoint. So this is an `http` endpoint, whose requests have
/// the `https` origin, and whose connections are encrypted nevertheless: each of them is made by a [`TlsConnector`].
#[derive(Clone)]
pub struct TlsEndpoint {
    tls: Arc<ClientReloader>,
    endpoint: Endpoint,
    server: ServerName<'static>,
}

/// Why there is no [`TlsEndpoint`].
#[derive(Debug)]
pub struct TlsEndpointError(Why);

#[derive(Debug)]
enum Why {
    Uri(http::Error),
    Scheme,
    Host,
    Name(String),
}

impl TlsEndpointError {
    pub(super) fn uri(error: http::Error) -> Self {
        Self(Why::Uri(error))
    }
}

impl TlsEndpoint {
    pub(super) fn new(tls: Arc<ClientReloader>, address: &Uri) -> Result<Self, TlsEndpointError> {
        if address.scheme() != Some(&Scheme::HTTPS) {
            return Err(TlsEndpointError(Why::Scheme));
        }
        let no_host = || TlsEndpointError(Why::Host);
        let authority = address.authority().ok_or_else(no_host)?;
        let host = authority.host();
        let server = server_name(host).map_err(|_| no_host())?;
        // Port 443 is the default of `https`, and not that of `http`.
        let port = authority.port_u16().unwrap_or(443);
        let target = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(format!("{host}:{port}"))
            .path_and_query(PathAndQuery::from_static("/"))
            .build()
            .map_err(TlsEndpointError::uri)?;
        let endpoint = Endpoint::from(target).origin(address.clone());
        Ok(Self { tls, endpoint, server })
    }

    /// Changes the settings of the endpoint, such as its timeouts, keepalive and windows.
    ///
    /// ```no_run
    /// # fn configure(tls: tonic_tls_reload::ClientTls) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let endpoint = tls
    ///     .endpoint("https://orders.example:8443")?
    ///     .configure(|endpoint| endpoint.connect_timeout(Duration::from_secs(5)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure(mut self, change: impl FnOnce(Endpoint) -> Endpoint) -> Self {
        self.endpoint = change(self.endpoint);
        self
    }

    /// Expects a certificate for this name instead of the address's host, and sends it as SNI. For an address by which
    /// the server is reached, but which its certificate does not have.
    ///
    /// # Errors
    ///
    /// If it is neither a DNS name nor an IP address.
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsEndpointError> {
        self.server =
            server_name(name).map_err(|_| TlsEndpointError(Why::Name(name.to_owned())))?;
        Ok(self)
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// If the connection or its handshake fails.
    pub async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        self.endpoint.connect_with_connector(self.connector()).await
    }

    /// A channel that connects when it is used.
    pub fn connect_lazy(&self) -> Channel {
        self.endpoint.connect_with_connector_lazy(self.connector())
    }

    /// The endpoint for a connector that is made from [`connector`](Self::connector).
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connector, for example for a balancer. Its TCP connections have the settings of the endpoint.
    pub fn connector(&self) -> TlsConnector {
        let mut http = HttpConnector::new();
        http.set_nodelay(self.endpoint.get_tcp_nodelay());
        http.set_keepalive(self.endpoint.get_tcp_keepalive());
        http.set_keepalive_interval(self.endpoint.get_tcp_keepalive_interval());
        http.set_keepalive_retries(self.endpoint.get_tcp_keepalive_retries());
        http.set_connect_timeout(self.endpoint.get_connect_timeout());
        TlsConnector::new(Arc::clone(&self.tls), self.server.clone(), http)
    }
}

/// The name that the server's certificate must have. An IPv6 address has brackets in a URI.
fn server_name(host: &str) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    ServerName::try_from(bare.unwrap_or(host).to_owned())
}

impl Encrypted for TlsEndpoint {}

impl fmt::Debug for TlsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsEndpoint")
            .field("endpoint", &self.endpoint)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TlsEndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Why::Uri(_) => f.write_str("the address is not a URI"),
            Why::Scheme => f.write_str("the address does not begin with https://"),
            Why::Host => {
                f.write_str("the host of the address is neither a DNS name nor an IP address")
            }
            Why::Name(name) => write!(f, "{name:?} is neither a DNS name nor an IP address"),
        }
    }
}

impl Error for TlsEndpointError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Why::Uri(error) => Some(error),
            Why::Scheme | Why::Host | Why::Name(_) => None,
        }
    }
}
