//! Limits of concurrent calls, and the order of limits and authentication.

use orders::v1::{CreateOrderRequest, GetOrderRequest, OrderEvent, WatchOrderRequest};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::client::{Client, channel, client, with_token};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{SERVE, Served, get, orders, run};
use crate::common::{order, reason, soon};

const BOTH: &str = "orders.read orders.write";

/// A server that trusts an issuer.
async fn start(more: &[&str]) -> (TempDir, Issuer, Served) {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys()).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--metrics", "off"];
    let trust = ["--issuer", ISSUER, "--audience", "orders", "--jwks", file.to_str().unwrap()];
    let served = Served::spawn(orders(&[&serve[..], &trust, more].concat())).await;
    (folder, issuer, served)
}

async fn caller(served: &Served, issuer: &Issuer, name: &str) -> Client {
    with_token(served, &issuer.token_of(name, "orders", BOTH)).await
}

async fn watch(client: &mut Client, id: &str) -> Result<Streaming<OrderEvent>, Status> {
    let request = WatchOrderRequest { id: id.to_owned() };
    soon(client.watch_order(request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_caller_and_all_together_hold_so_many_and_probes_are_answered() {
    let (_folder, issuer, served) = start(&["--in-flight", "2/3"]).await;
    let mut ann = caller(&served, &issuer, "ann").await;
    let mut bob = caller(&served, &issuer, "bob").await;
    let request: CreateOrderRequest = order("ann@example.org", 1);
    let id = ann.create_order(request).await.unwrap().into_inner().id;

    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(watch(&mut ann, &id).await.unwrap());
    }
    let refused = watch(&mut ann, &id).await.unwrap_err();
    assert_eq!(
        (refused.code(), &*reason(&refused)),
        (Code::ResourceExhausted, "CONCURRENCY_LIMITED")
    );
    held.push(watch(&mut bob, &id).await.unwrap());
    let refused = watch(&mut bob, &id).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "OVERLOADED"));
    let mut health = HealthClient::new(channel(&served).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();

    // A call that ends frees its place as soon as the server notices.
    drop(held.remove(0));
    soon(async { while watch(&mut ann, &id).await.is_err() {} }).await;
}

/// Guards against: unlimited streams of public methods.
#[tokio::test]
async fn watchers_of_health_are_counted_by_address() {
    let served = Served::start(&["--in-flight", "2/100"]).await;
    let mut health = HealthClient::new(channel(&served).await);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(soon(health.watch(HealthCheckRequest::default())).await.unwrap());
    }
    let refused = soon(health.watch(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    soon(health.check(HealthCheckRequest::default())).await.unwrap();
}

/// Guards against: a flood of invalid tokens whose signatures are all verified in spite of a limit by address.
#[tokio::test]
async fn limits_by_address_are_asked_before_tokens_and_others_after() {
    let limits = ["--limit", "*=1/3:peer", "--limit", "*=1/1000"];
    let (_folder, _issuer, served) = start(&limits).await;
    let forged = Issuer::new().token("orders", BOTH);
    let mut stranger = with_token(&served, &forged).await;
    let mut codes = Vec::new();
    for _ in 0..20 {
        let refused = stranger.get_order(GetOrderRequest::default()).await.unwrap_err();
        codes.push(refused.code());
    }
    assert_eq!(codes[..3], [Code::Unauthenticated; 3], "{codes:?}");
    assert!(codes.contains(&Code::ResourceExhausted), "{codes:?}");
}

/// Guards against: a method with a limit by caller to which the `*` limit by address applies as well.
#[tokio::test]
async fn the_most_exact_limit_counts_on_both_sides_of_authentication() {
    let limits = ["--limit", "*=1/1:peer", "--limit", "orders.v1.OrderService/GetOrder=1000/1000"];
    let served = Served::start(&limits).await;
    let mut client = client(&served, &[]).await;
    for _ in 0..20 {
        let missing = client.get_order(GetOrderRequest { id: "x".to_owned() }).await.unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
    }
}

/// Guards against: idle connections that use up the limit of open files.
#[tokio::test]
async fn by_default_there_are_no_more_connections_than_files() {
    let mut command = orders(&[]);
    let mut limited = Command::new("sh");
    let serve = format!("ulimit -n 64 && exec \"$0\" {} --db :memory:", SERVE.join(" "));
    limited.args(["-c", &serve]).arg(command.as_std_mut().get_program()).env_remove("RUST_LOG");
    limited.stdin(std::process::Stdio::null()).kill_on_drop(true);
    limited.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let served = Served::spawn(limited).await;

    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.push(TcpStream::connect(&served.address).await.unwrap());
    }
    let mut client = client(&served, &[]).await;
    soon(client.create_order(order("ann@example.org", 1))).await.unwrap();
    drop(client);
    served.signal(rustix::process::Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cannot accept connections"), "{log}");
}

#[tokio::test]
async fn open_and_closed_connections_are_counted() {
    let mut served = Served::start(&["--metrics", "127.0.0.1:0", "--connections", "1"]).await;
    let metrics = served.metrics_address().await;
    let _silent = TcpStream::connect(&served.address).await.unwrap();
    let mut client = client(&served, &[]).await;
    soon(client.create_order(order("ann@example.org", 1))).await.unwrap();
    let text = get(&metrics, "/metrics").await.1;
    for sample in [
        "connections_open 1",
        "connections_closed_total{reason=\"gave_way\"} 1",
        "connections_closed_total{reason=\"idle\"} 0",
        "connections_closed_total{reason=\"silent\"} 0",
        "connections_closed_total{reason=\"full\"} 0",
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_told_before_anything_listens() {
    for (flags, why) in [
        (["--in-flight", "10"], "must be PER_CALLER/TOTAL, such as 1000/10000"),
        (["--in-flight", "0/10"], "both at least 1"),
        (["--connections", "0"], "at least 1"),
        (["--streams", "many"], "at least 1"),
        (["--idle", "soon"], "must be a whole number and a unit"),
        (["--idle", "0"], "must be at least 1s"),
    ] {
        let ran = run(&[&SERVE[..], &["--db", ":memory:"], &flags].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{flags:?}");
        assert!(ran.err.contains(why), "{flags:?}: {}", ran.err);
    }
}
