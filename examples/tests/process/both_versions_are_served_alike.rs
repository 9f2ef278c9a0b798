//! `orders.v2` has what every layer gives to `orders.v1`: scopes, limits, health, log lines, metrics, Connect and
//! gRPC-Web.

use std::time::Instant;

use http::Method;
use orders::v1::GetOrderRequest;
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::common::client::{self, channel};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{Served, get, orders};
use crate::common::v2::{self, euros, order};
use crate::common::web::{Web, whole};
use crate::common::{reason, soon};

const BOTH: &str = "orders.read orders.write";

fn path(method: &str) -> String {
    format!("/orders.v2.OrderService/{method}")
}

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

/// The log lines of the calls.
async fn calls_of(served: Served) -> Vec<Value> {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["message"] == "finished call").collect()
}

#[tokio::test]
async fn each_method_needs_its_scope() {
    let (_folder, issuer, served) = start(&[]).await;
    for (method, answer) in v2::each(v2::client(&served, &[]).await).await {
        assert_eq!(answer.expect_err(method).code(), Code::Unauthenticated, "{method}");
    }
    const WRITES: [&str; 3] = ["CreateOrder", "AdvanceOrder", "ImportOrders"];
    for scope in ["orders.read", "orders.write"] {
        let client = v2::with_token(&served, &issuer.token("orders", scope)).await;
        for (method, answer) in v2::each(client).await {
            let needed = if WRITES.contains(&method) { "orders.write" } else { "orders.read" };
            let code = answer.as_ref().err().map_or(Code::Ok, Status::code);
            assert_eq!(code == Code::PermissionDenied, scope != needed, "{method}: {answer:?}");
            assert_ne!(code, Code::Unauthenticated, "{method}");
        }
    }
}

/// Guards against: a caller whose quota doubles because a second version is served.
#[tokio::test]
async fn a_caller_has_one_quota_for_both() {
    for limit in [
        "orders.v1.OrderService/GetOrder=1/4:principal",
        "orders.v2.OrderService=1/4:principal",
        "*=1/4:principal",
    ] {
        let (_folder, issuer, served) = start(&["--limit", limit]).await;
        for name in ["ann", "bob"] {
            let token = issuer.token_of(name, "orders", BOTH);
            let mut first = client::with_token(&served, &token).await;
            let mut second = v2::with_token(&served, &token).await;
            let began = Instant::now();
            let (mut passed, mut refused) = (0, Vec::new());
            for _ in 0..6 {
                let one = first.get_order(GetOrderRequest { id: "x".to_owned() }).await;
                let other = second.get_order(v2::get("x")).await;
                for status in [one.unwrap_err(), other.unwrap_err()] {
                    match status.code() {
                        Code::NotFound => passed += 1,
                        _ => refused.push(status),
                    }
                }
            }
            let most = 4 + began.elapsed().as_secs();
            assert!((4..=most).contains(&passed), "{limit}: {name}: {passed}");
            for status in refused {
                assert_eq!(reason(&status), "RATE_LIMITED", "{limit}: {status:?}");
            }
        }
    }
}

#[tokio::test]
async fn its_methods_are_logged_and_counted_by_their_names_and_invented_ones_are_not() {
    let mut served = Served::start(&["--log", "json", "--metrics", "127.0.0.1:0"]).await;
    let metrics = served.metrics_address().await;
    let mut client = v2::client(&served, &[]).await;
    let created = client.create_order(order("ann@example.org", euros(1, 0))).await.unwrap();
    let id = created.into_inner().order.unwrap().id;
    client.get_order(v2::get("x")).await.unwrap_err();
    let json = [("content-type", "application/json")];
    let web = Web::http2(&served.address);
    let invented = whole(web.send(Method::POST, &path("EraseOrder"), &json, "{}").await).await;
    assert_ne!(invented.status, 200);

    let (_, text) = get(&metrics, "/metrics").await;
    let of = "grpc_type=\"unary\",grpc_service=\"orders.v2.OrderService\"";
    for (method, code) in [("CreateOrder", "OK"), ("GetOrder", "NotFound")] {
        let sample = format!(
            "grpc_server_handled_total{{{of},grpc_method=\"{method}\",protocol=\"grpc\",grpc_code=\"{code}\"}} 1"
        );
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
    assert!(!text.contains("EraseOrder"), "{text}");

    let lines = calls_of(served).await;
    let create = lines.iter().find(|line| line["rpc.method"] == path("CreateOrder")[1..]);
    let create = create.expect("a line");
    assert_eq!(
        (&create["order.id"], &create["rpc.response.status_code"]),
        (&json!(id), &json!("OK"))
    );
}

#[tokio::test]
async fn connect_and_grpc_web_are_answered() {
    let served = Served::start(&["--log", "json"]).await;
    for web in [Web::http1(&served.address), Web::http2(&served.address)] {
        let call = async |method: &str, message: Value| {
            let json = [("content-type", "application/json")];
            whole(web.send(Method::POST, &path(method), &json, message.to_string()).await).await
        };
        let total = json!({"currencyCode": "EUR", "units": "19", "nanos": 990_000_000});
        let order = json!({"customerEmail": "ann@example.org", "total": total});
        let created = call("CreateOrder", json!({"order": order})).await;
        assert_eq!(created.status, 200, "{created:?}");
        let created = created.json()["order"].clone();
        assert_eq!(created["total"], total);

        let id = json!({"orderId": created["id"]});
        let event =
            call("AdvanceOrder", json!({"orderId": id["orderId"], "stage": "ORDER_STAGE_SHIPPED"}));
        assert_eq!(event.await.json()["event"]["stage"], "ORDER_STAGE_SHIPPED");
        // A method without side effects may be called by GET.
        let query = format!(
            "{}?connect=v1&encoding=json&message=%7B%22orderId%22%3A{}%7D",
            path("GetOrder"),
            created["id"].to_string().replace('"', "%22")
        );
        let got = whole(web.send(Method::GET, &query, &[], "").await).await;
        assert_eq!(got.json()["order"], created);

        let invalid =
            call("CreateOrder", json!({"order": {"customerEmail": "ann@example.org"}})).await;
        assert_eq!(invalid.status, 400);
        let details = invalid.json()["details"].as_array().unwrap().clone();
        let request = details.iter().find(|one| one["type"] == "google.rpc.BadRequest").unwrap();
        assert_eq!(request["debug"]["fieldViolations"][0]["field"], "order.total");
    }

    let message = v2::get("x").encode_to_vec();
    let frame = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], &message[..]].concat();
    let kind = [("content-type", "application/grpc-web+proto")];
    let web = Web::http1(&served.address);
    let missing = whole(web.send(Method::POST, &path("GetOrder"), &kind, frame).await).await;
    assert_eq!(
        (missing.status.as_u16(), &missing.headers["grpc-status"]),
        (200, &"5".parse().unwrap())
    );

    let lines = calls_of(served).await;
    let protocol = |protocol: &str| lines.iter().any(|line| line["grpc.protocol"] == protocol);
    assert!(protocol("connect") && protocol("grpc-web"), "{lines:?}");
}

#[tokio::test]
async fn its_health_follows_the_drain() {
    let served = Served::start(&["--drain-delay", "200ms"]).await;
    let mut watched: Streaming<HealthCheckResponse> = {
        let request = HealthCheckRequest { service: "orders.v2.OrderService".to_owned() };
        let watch = HealthClient::new(channel(&served).await).watch(request).await;
        watch.unwrap().into_inner()
    };
    let mut next = async || soon(watched.message()).await.unwrap().expect("a status").status();
    while next().await != ServingStatus::Serving {}
    served.signal(Signal::TERM);
    assert_eq!(next().await, ServingStatus::NotServing);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
}
