//! A line of the layer's own is the same as its event, whatever values it has.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use serde_json::Value;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic_call::{CallInfo, MethodKind, Refusal, Side};
use tonic_call_test_kit::{Script, answers, run, stream, to, to_kind, trailers_only, with};
use tower::{Layer as _, service_fn};

use crate::lines_common::{both, listen, take_only};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// A service whose layers and handler set every value that a line includes.
async fn full(request: Request<Body>) -> Result<Response<Script>, Status> {
    let info = CallInfo::of(request.extensions()).unwrap();
    info.set_principal("spiffe://example.org/billing");
    info.add_refusal(Refusal::new("ratelimit", "per_second"));
    info.add_field("ratelimit.wait_ms", 250_u64);
    info.add_field("order.id", 4_711_u64);
    info.add_field("ratio", 0.25);
    info.add_field("unknown", f64::NAN);
    info.add_field("balance", -12_i64);
    info.add_field("is_new", true);
    info.add_field("note", "a \"note\"\n");
    info.add_field("other", "too");
    info.add_field("another", f64::INFINITY);
    tonic_call_test_kit::drain(request.into_body()).await;
    let mut trailers = Status::resource_exhausted("too many").into_http::<()>().headers().clone();
    trailers.insert("x-cost", HeaderValue::from_static("7"));
    Ok(Script::new().message(b"four").message(b"five!").trailers_of(trailers).respond())
}

#[tokio::test]
async fn a_refused_call_with_everything_that_a_line_includes() {
    listen();
    for ip in ["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"] {
        let headers = [
            ("grpc-timeout", "1500u"),
            ("user-agent", "grpc-test/1.0"),
            ("x-request-id", "8f14e45f"),
            ("traceparent", TRACEPARENT),
            ("x-tenant", "acme"),
            ("x-tenant", "b\\c"),
        ];
        let mut request = with(to_kind(MethodKind::ServerStream), &headers);
        let ip: IpAddr = ip.parse().unwrap();
        let remote_addr = Some(SocketAddr::from((ip, 51_234)));
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        let layer = both(Side::Server)
            .request_metadata(["x-region", "x-tenant"])
            .response_metadata(["x-other", "x-cost"])
            .fields(["ratio", "unknown", "is_new", "order.id", "balance", "note"])
            .unwrap()
            .refusals_per_second(10);
        run(layer.layer(service_fn(full)), request).await;
        let line = take_only();
        assert_eq!(line.as_object().unwrap().len(), 3 + 25 + 2 + 6 + 1, "{line:#}");
        assert_eq!(line["network.peer.address"], ip.to_canonical().to_string());
        assert_eq!(line["unknown"], Value::Null);
        assert_eq!(line["fields"], r#"{"another":null,"other":"too"}"#);
        assert_eq!(line["rpc.request.metadata.x-tenant"], r"acme, b\c");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_peer_on_a_unix_socket() {
    use std::os::unix::net::SocketAddr as UnixAddr;
    use std::sync::Arc;

    use tonic::transport::server::UdsConnectInfo;

    listen();
    for (path, shown) in [(None, Value::Null), (Some("/run/a \"b\"\n"), "/run/a \"b\"\\n".into())] {
        let mut request = to_kind(MethodKind::Unary);
        let peer_addr = path.map(|path| UnixAddr::from_pathname(path).unwrap());
        let peer_addr = peer_addr.map(|address| Arc::new(address.into()));
        request.extensions_mut().insert(UdsConnectInfo { peer_addr, peer_cred: None });
        let answer = || Ok(stream(1, &Status::ok("")));
        run(both(Side::Server).layer(answers(answer)), request).await;
        assert_eq!(take_only()["network.peer.address"], shown);
    }
}

#[tokio::test]
async fn metadata_for_which_there_is_no_key_left() {
    listen();
    let names = (0..50).map(|number| format!("x-{number}"));
    let headers = ["x-0", "x-39", "x-40", "x-49"].map(|name| (name, "value"));
    let layer = both(Side::Server).request_metadata(names).fields(["late"]).unwrap();
    let answer = || Ok(stream(1, &Status::ok("")));
    run(layer.layer(answers(answer)), with(to("/test.v1.Kinds/Unary"), &headers)).await;
    let line = take_only();
    assert_eq!(line["rpc.request.metadata.x-39"], "value");
    let others = r#"{"rpc.request.metadata.x-40":"value","rpc.request.metadata.x-49":"value"}"#;
    assert_eq!(line["fields"], others);
}

#[tokio::test(start_paused = true)]
async fn durations_of_any_length() {
    listen();
    for micros in [1, 10, 999, 1_000, 1_001, 12_340, 1_000_000, 86_400_000_000] {
        let pause = Duration::from_micros(micros);
        let waits = service_fn(move |_: Request<Body>| async move {
            tokio::time::advance(pause).await;
            Ok::<_, Status>(trailers_only(&Status::ok("")))
        });
        run(both(Side::Server).layer(waits), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(take_only()["duration_ms"], micros as f64 / 1_000.0);
    }
}
