//! Authentication and authorization, and what callers and the log contain about refusals.

use std::path::Path;

use futures_util::stream;
use orders::v1::{GetOrderRequest, ListOrdersRequest, WatchOrderRequest};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::common::client::{channel, client, each, with_token};
use crate::common::process::{Ran, Served, get, orders};
use crate::common::{keyed, order, reason, soon};

const SERVE: [&str; 7] = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--log", "json"];

/// A server with a development key, in a separate folder.
async fn start(more: &[&str]) -> (TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    let own_metrics = more.contains(&"--metrics");
    let without_metrics: &[_] = if own_metrics { &[] } else { &["--metrics", "off"] };
    let mut command = orders(&[&SERVE[..], without_metrics, more].concat());
    command.current_dir(folder.path());
    let served = Served::spawn(command).await;
    (folder, served)
}

async fn ran_in(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = orders(arguments);
    soon(command.current_dir(folder).output()).await.unwrap().into()
}

async fn token(folder: &Path, arguments: &[&str]) -> String {
    let ran = ran_in(folder, &[&["token"], arguments].concat()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    ran.out.trim_end().to_owned()
}

/// The log lines of calls of `orders.v1`, and the whole log.
async fn log_of(served: Served) -> (Vec<Value>, String) {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let of_calls = lines.filter(|line| line["message"] == "finished call");
    (of_calls.collect(), log)
}

#[track_caller]
fn has(line: &Value, expected: &Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&line[key], value, "{key} in {line:#}");
    }
}

fn challenge(status: &Status) -> &str {
    status.metadata().get("www-authenticate").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn without_a_token_nothing_of_ours_can_be_called() {
    let (_folder, served) = start(&[]).await;
    for (method, answer) in each(client(&served, &[]).await).await {
        let refused = answer.expect_err(method);
        assert_eq!(refused.code(), Code::Unauthenticated, "{method}");
        assert_eq!(reason(&refused), "CREDENTIALS_MISSING", "{method}");
        assert_eq!(challenge(&refused), r#"Bearer realm="orders""#, "{method}");
    }
    let (lines, _) = log_of(served).await;
    assert_eq!(lines.len(), 7);
    for line in &lines {
        has(
            line,
            &json!({"rpc.response.status_code": "UNAUTHENTICATED", "grpc.refused_by": "auth",
                "grpc.refused_reason": "CREDENTIALS_MISSING", "grpc.ended_by": "refusal",
                "auth.check": "credentials", "enduser.id": null, "grpc.request.messages": 0}),
        );
    }
}

#[tokio::test]
async fn health_and_reflection_are_for_everybody() {
    let (_folder, served) = start(&[]).await;
    let channel = channel(&served).await;
    let request = HealthCheckRequest { service: "orders.v1.OrderService".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
    let request = stream::iter([ServerReflectionRequest::default()]);
    let mut reflection = ServerReflectionClient::new(channel);
    assert!(reflection.server_reflection_info(request).await.is_ok());
}

#[tokio::test]
async fn a_token_is_good_for_what_its_scopes_say() {
    let (folder, served) = start(&[]).await;
    const WRITES: [&str; 3] = ["CreateOrder", "AdvanceOrder", "ImportOrders"];
    for scope in ["orders.read", "orders.write"] {
        let token = token(folder.path(), &["--scope", scope]).await;
        for (method, answer) in each(with_token(&served, &token).await).await {
            let needed = if WRITES.contains(&method) { "orders.write" } else { "orders.read" };
            let told = answer.err();
            let code = told.as_ref().map_or(Code::Ok, Status::code);
            assert_eq!(code == Code::PermissionDenied, scope != needed, "{method}: {told:?}");
            assert_ne!(code, Code::Unauthenticated, "{method}");
            let Some(denied) = told.filter(|_| code == Code::PermissionDenied) else { continue };
            assert_eq!(reason(&denied), "SCOPE_INSUFFICIENT");
            let expected =
                format!(r#"Bearer realm="orders", error="insufficient_scope", scope="{needed}""#);
            assert_eq!(challenge(&denied), expected);
        }
    }
    let (lines, log) = log_of(served).await;
    let denied = lines.iter().find(|line| line["rpc.response.status_code"] == "PERMISSION_DENIED");
    has(
        denied.expect("a line"),
        &json!({"enduser.id": "orders-dev#developer", "grpc.refused_by": "auth",
            "grpc.refused_reason": "SCOPE_INSUFFICIENT", "auth.check": "scope",
            "auth.expected": "orders.write", "auth.received": "orders.read"}),
    );
    let passed = lines.iter().find(|line| line["rpc.response.status_code"] == "OK");
    has(
        passed.expect("a line"),
        &json!({"enduser.id": "orders-dev#developer", "grpc.refused_by": null, "auth.check": null}),
    );
    assert!(!log.contains("eyJ"), "{log}");
}

#[tokio::test]
async fn the_operator_is_told_which_check_has_failed_and_never_the_token() {
    let (folder, served) = start(&[]).await;
    let both = ["--scope", "orders.read", "--scope", "orders.write"];
    let good = token(folder.path(), &both).await;
    let expired = token(folder.path(), &[&both[..], &["--ttl", "0"]].concat()).await;
    let (message, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{message}.{}", "A".repeat(43));
    let of_somebody_else = {
        let other = tempfile::tempdir().unwrap();
        let key = std::fs::read_to_string(folder.path().join("orders.db-dev-key")).unwrap();
        let mut key: Value = serde_json::from_str(&key).unwrap();
        key["kid"] = json!("another");
        let path = other.path().join("orders.db-dev-key");
        std::fs::write(&path, key.to_string()).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
        token(other.path(), &both).await
    };
    let tokens = [&expired, &forged, &of_somebody_else, "secret-text"];
    let cases = [
        ("TOKEN_EXPIRED", "exp", "invalid_token"),
        ("TOKEN_INVALID", "signature", "invalid_token"),
        ("TOKEN_INVALID", "kid", "invalid_token"),
        ("TOKEN_INVALID", "format", "invalid_token"),
    ];
    for (token, (expected, check, error)) in tokens.into_iter().zip(cases) {
        let get = GetOrderRequest { id: "x".to_owned() };
        let refused = with_token(&served, token).await.get_order(get).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, expected));
        let challenge = challenge(&refused);
        assert_eq!(challenge, format!(r#"Bearer realm="orders", error="{error}""#), "{check}");
        let told = if expected == "TOKEN_EXPIRED" { "have expired" } else { "are not valid" };
        assert_eq!(refused.message(), format!("the credentials {told}"), "{check}");
    }
    let basic = client(&served, &[("authorization", "Basic YW5uOnNlY3JldA==")]).await;
    let refused = each(basic).await.remove(0).1.unwrap_err();
    assert_eq!(reason(&refused), "CREDENTIALS_MISSING");

    let (lines, log) = log_of(served).await;
    for (line, (reason, check, _)) in lines.iter().zip(cases) {
        let nobody = json!({"grpc.refused_by": "auth", "grpc.refused_reason": reason,
            "auth.check": check, "enduser.id": null});
        has(line, &nobody);
    }
    assert!(lines[0]["auth.received"].is_string(), "{:#}", lines[0]);
    has(&lines[2], &json!({"auth.received": "another"}));
    for token in tokens {
        for part in token.split('.').filter(|part| part.len() > 8) {
            assert!(!log.contains(part), "{log}");
        }
    }
    assert!(!log.contains("YW5uOnNlY3JldA"), "{log}");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let (folder, served) = start(&[]).await;
    let good = token(folder.path(), &["--scope", "orders.write"]).await;
    let order = keyed("ann@example.org", 1, "k");
    let id = with_token(&served, &good).await.create_order(order).await.unwrap().into_inner().id;
    let short = token(folder.path(), &["--scope", "orders.read", "--ttl", "3s"]).await;
    let mut client = with_token(&served, &short).await;
    let mut watch = client.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap().unwrap();
    let ended = soon(watch.message()).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert_eq!(reason(&ended), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn decisions_are_counted_and_nobody_is_named() {
    let (folder, mut served) = start(&["--metrics", "127.0.0.1:0"]).await;
    let metrics = served.metrics_address().await;
    let token = token(folder.path(), &["--scope", "orders.read"]).await;
    for _ in 0..3 {
        let mut client = with_token(&served, &token).await;
        client.list_orders(ListOrdersRequest::default()).await.unwrap();
    }
    let mut denied = with_token(&served, &token).await;
    denied.create_order(order("ann@example.org", 1)).await.unwrap_err();
    client(&served, &[]).await.list_orders(ListOrdersRequest::default()).await.unwrap_err();

    let (_, text) = get(&metrics, "/metrics").await;
    for (result, cached, times) in [
        ("passed", false, 1),
        ("passed", true, 2),
        ("SCOPE_INSUFFICIENT", true, 1),
        ("CREDENTIALS_MISSING", false, 1),
        ("TOKEN_EXPIRED", false, 0),
    ] {
        let sample =
            format!("auth_decisions_total{{result=\"{result}\",cached=\"{cached}\"}} {times}");
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
    for (code, by) in
        [("PermissionDenied", "SCOPE_INSUFFICIENT"), ("Unauthenticated", "CREDENTIALS_MISSING")]
    {
        let handled = format!("grpc_code=\"{code}\"}} 1");
        assert!(text.lines().any(|line| line.ends_with(&handled)), "{handled} in {text}");
        let refused = format!("refused_by=\"auth\",reason=\"{by}\"");
        assert!(text.lines().any(|line| line.contains(&refused)), "{refused} in {text}");
    }
    assert!(!text.contains("developer") && !text.contains("orders-dev"), "{text}");
}
