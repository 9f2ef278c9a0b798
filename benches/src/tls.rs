use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::transport::server::{Connected as _, TcpConnectInfo, TlsConnectInfo};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
};
use tonic_call_test_kit::listen;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_tls_reload::{ClientTls, ConnectionAge, ServerTls};

use crate::deadlines::HOUR;
use crate::service::AtOnce;

/// The files of a CA, of a server on `localhost`, and of a client.
pub struct Certificates(TempDir);

/// What does TLS on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// tonic's own.
    Tonic,
    /// `tonic-tls-reload`.
    Reloading,
    /// On a server, the same with an age of connections, which none of them reaches.
    Aged,
    /// On a server, the same with a grace.
    AgedWithGrace,
}

impl Certificates {
    /// Issues them.
    ///
    /// # Panics
    ///
    /// If the files cannot be written.
    pub fn issue() -> Self {
        let certificates = Self(TempDir::new().expect("a folder"));
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a certificate");
        certificates.write("ca.crt", &ca.pem());
        let ca = Issuer::new(params, key);
        for name in ["localhost", "client"] {
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            certificates.sign(name, &params, &ca);
        }
        certificates.sign("workload", &workload(), &ca);
        certificates
    }

    fn sign(&self, name: &str, params: &CertificateParams, ca: &Issuer<'_, KeyPair>) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, ca).expect("a certificate");
        self.write(&format!("{name}.crt"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// Connects a client with a SPIFFE ID, and returns what the server knows of the connection.
    pub(crate) async fn accept_workload(&self) -> TlsConnectInfo<TcpConnectInfo> {
        let (incoming, _) = listen();
        let address = incoming.local_addr().expect("a bound listener has an address");
        let files = self.path("localhost.crt");
        let server = ServerTls::from_files(files, self.path("localhost.key"))
            .client_ca(self.path("ca.crt"))
            .build()
            .expect("the files are good");
        let client = ClientTls::from_files(self.path("ca.crt"))
            .certificate(self.path("workload.crt"), self.path("workload.key"))
            .build()
            .expect("the files are good");
        let connect = async {
            let io = TcpStream::connect(address).await.expect("it listens");
            let name = "localhost".try_into().expect("a name");
            TlsConnector::from(client.config()).connect(name, io).await.expect("a handshake")
        };
        let mut accepted = std::pin::pin!(server.incoming(incoming));
        let (_client, stream) = tokio::join!(connect, accepted.next());
        stream.expect("a connection").expect("a handshake").connect_info()
    }

    /// Starts a server on loopback, and returns its port. It serves until its runtime ends.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or if there is no free port.
    pub fn serve(&self, tls: Tls, asks_for_certificates: bool) -> u16 {
        let (incoming, _) = listen();
        let port = incoming.local_addr().expect("a bound listener has an address").port();
        // As tonic sets it on its own listeners.
        let incoming = incoming.with_nodelay(Some(true));
        let service = KindsServer::new(AtOnce);
        if tls == Tls::Tonic {
            let mut config = ServerTlsConfig::new().identity(self.identity("localhost"));
            if asks_for_certificates {
                config = config.client_ca_root(self.ca());
            }
            let mut server = Server::builder().tls_config(config).expect("it is valid");
            tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
            return port;
        }
        let mut config =
            ServerTls::from_files(self.path("localhost.crt"), self.path("localhost.key"));
        if asks_for_certificates {
            config = config.client_ca(self.path("ca.crt"));
        }
        let incoming = config.build().expect("the files are good").incoming(incoming);
        let age = match tls {
            Tls::Aged => ConnectionAge::after(HOUR),
            Tls::AgedWithGrace => ConnectionAge::after(HOUR).grace(Duration::from_secs(60)),
            Tls::Tonic | Tls::Reloading => {
                let server = Server::builder().add_service(service);
                tokio::spawn(server.serve_with_incoming(incoming));
                return port;
            }
        };
        let routes = Routes::new(service);
        tokio::spawn(age.serve(Server::builder(), routes, incoming, std::future::pending()));
        port
    }

    /// A client with a certificate.
    ///
    /// # Panics
    ///
    /// If the files are gone.
    pub fn client(&self) -> ClientTls {
        ClientTls::from_files(self.path("ca.crt"))
            .certificate(self.path("client.crt"), self.path("client.key"))
            .build()
            .expect("the files are good")
    }

    /// Connects to a server of [`serve`](Self::serve).
    ///
    /// # Panics
    ///
    /// If the server does not answer.
    pub async fn connect(&self, tls: Tls, port: u16) -> Channel {
        let address = format!("https://localhost:{port}");
        let connected = if tls == Tls::Tonic {
            let config = ClientTlsConfig::new().ca_certificate(self.ca());
            let endpoint = Endpoint::from_shared(address).expect("an address is a URI");
            endpoint.tls_config(config).expect("it is valid").connect().await
        } else {
            self.client().endpoint(address).expect("an address is a URI").connect().await
        };
        connected.expect("it listens")
    }

    fn ca(&self) -> Certificate {
        Certificate::from_pem(self.read("ca.crt"))
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::from_pem(self.read(&format!("{name}.crt")), self.read(&format!("{name}.key")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the files stay")
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("the folder can be written to");
    }
}

/// The SPIFFE ID of the workload.
pub(crate) const WORKLOAD: &str = "spiffe://prod.example/billing/api";

fn workload() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(WORKLOAD.try_into().expect("ASCII"))];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.path()).finish()
    }
}
