//! TLS to Redis.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use redis::{Client, TlsCertificates};
use tonic_ratelimit_layer::{Key, Quota, RedisStore, StoreError};

use crate::common::{Lines, Who};
use crate::redis_server::{RedisServer, free_port};
use crate::{LONG, layer, passes, source, until};

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Starts a server that takes only TLS.
    fn server(&self, settings: &[&str]) -> Option<RedisServer> {
        let ports = ["--port", "0", "--tls-port", "PORT", "--tls-auth-clients", "no"];
        let pair = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
        let ca = ["--tls-ca-cert-file", "ca.pem", "--requirepass", "hunter2"];
        let all = [&ports[..], &pair, &ca, settings].concat();
        self.with_files(|files| RedisServer::start_with(&all, files))
    }

    /// Starts a sentinel that takes only TLS, and knows a primary that does so, too.
    fn sentinel(&self, primary: &RedisServer) -> RedisServer {
        let settings = format!(
            "port 0
tls-port PORT
tls-auth-clients no
tls-replication yes
tls-cert-file cert.pem
tls-key-file key.pem
tls-ca-cert-file ca.pem
requirepass guard
sentinel monitor limits 127.0.0.1 {} 1
sentinel auth-pass limits hunter2
",
            primary.port
        );
        self.with_files(|files| RedisServer::start_sentinel(&settings, files).unwrap())
    }

    /// The files of a server: with a certificate for 127.0.0.1.
    fn with_files<T>(&self, start: impl FnOnce(&[(&str, &str)]) -> T) -> T {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        start(&[
            ("cert.pem", &certificate),
            ("key.pem", &key.serialize_pem()),
            ("ca.pem", &self.pem),
        ])
    }
}

fn url(server: &RedisServer) -> String {
    format!("rediss://:hunter2@127.0.0.1:{}", server.port)
}

#[tokio::test]
async fn quotas_are_decided_over_tls() {
    let ca = Ca::new();
    let Some(server) = ca.server(&[]) else { return };
    let connect = || RedisStore::connect(&url(&server)).unwrap().authority(&ca.pem).unwrap();
    let layers = [(); 2].map(|()| layer(Quota::per_hour(3), &connect().budget(LONG)));
    assert_eq!(passes(&layers[0], &Who::default(), 2).await, 2);
    assert_eq!(passes(&layers[1], &Who::default(), 2).await, 1);
    assert!(source(&layers[1]).await.contains("redis"));
}

#[tokio::test]
async fn a_server_of_another_authority_never_decides() {
    let ca = Ca::new();
    let Some(server) = ca.server(&[]) else { return };
    let of_system = RedisStore::connect(&url(&server)).unwrap();
    let of_others = of_system.clone().authority(Ca::new().pem).unwrap();
    for store in [of_system, of_others] {
        never_decides(store).await;
    }
}

/// Redis does not decide, since its certificate is not trusted.
async fn never_decides(store: RedisStore) {
    let lines = Lines::default();
    let collecting = lines.collect();
    let store = store.budget(LONG);
    let layer = layer(Quota::per_hour(3), &store);
    assert_eq!(passes(&layer, &Who::default(), 5).await, 3);
    assert!(source(&layer).await.contains("local"));
    let error = store.ready().unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    drop(collecting);
    let shown = format!("{error:?} {error} {store:?} {}", lines.text());
    assert!(!shown.contains("hunter2") && !shown.contains("rediss"), "{shown}");
}

#[tokio::test]
async fn a_sentinel_and_its_primary_have_tls_with_the_same_authority() {
    let (ca, other) = (Ca::new(), Ca::new());
    let Some(primary) = ca.server(&["--tls-replication", "yes"]) else { return };
    let sentinel = ca.sentinel(&primary);
    let connect = |sentinel: &RedisServer, ca: &Ca| {
        let url = format!("rediss://:guard@127.0.0.1:{}", sentinel.port);
        let store = RedisStore::sentinel([url], "limits").unwrap().authority(&ca.pem).unwrap();
        store.credentials(None, "hunter2")
    };
    let layer = layer(Quota::per_hour(3), &connect(&sentinel, &ca).budget(LONG));
    assert_eq!(passes(&layer, &Who::default(), 5).await, 3);
    assert!(source(&layer).await.contains("redis"));

    never_decides(connect(&sentinel, &other)).await;
    // The sentinel is trusted, and the primary that it names is not.
    never_decides(connect(&other.sentinel(&primary), &other)).await;
}

#[tokio::test]
async fn a_cluster_has_tls_with_the_same_authority() {
    let ca = Ca::new();
    let bus = free_port().to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--tls-cluster", "yes"];
    let Some(server) = ca.server(&settings) else { return };
    let certificates = TlsCertificates { client_tls: None, root_cert: Some(ca.pem.clone().into()) };
    // It also sets rustls's provider.
    let store = RedisStore::cluster([url(&server)]).unwrap().authority(&ca.pem).unwrap();
    let client = Client::build_with_tls(url(&server), certificates).unwrap();
    let mut connection = client.get_connection().unwrap();
    let range = ["ADDSLOTSRANGE", "0", "16383"];
    let () = redis::cmd("CLUSTER").arg(&range).query(&mut connection).unwrap();
    let layer = layer(Quota::per_hour(1000).by(Key::principal()), &store.budget(LONG));
    until(&layer, true).await;

    let store = RedisStore::cluster([url(&server)]).unwrap().authority(Ca::new().pem).unwrap();
    let store = store.budget(LONG);
    let layer = crate::layer(Quota::per_hour(1000).by(Key::principal()), &store);
    until(&layer, false).await;
    let error = store.ready().unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn an_authority_needs_tls_and_pem() {
    let pem = Ca::new().pem;
    let without = RedisStore::connect("redis://localhost").unwrap();
    assert_eq!(without.authority(&pem).unwrap_err(), StoreError::Authority);
    let with = RedisStore::connect("rediss://localhost").unwrap();
    assert_eq!(with.clone().authority("hunter2").unwrap_err(), StoreError::Authority);
    assert!(with.authority(&pem).is_ok());
    let mixed = ["rediss://localhost", "redis://localhost"];
    assert_eq!(RedisStore::cluster(mixed).unwrap_err(), StoreError::Urls);
    assert_eq!(RedisStore::sentinel(mixed, "limits").unwrap_err(), StoreError::Urls);
}
