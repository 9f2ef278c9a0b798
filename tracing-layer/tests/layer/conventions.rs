//! Each version of OpenTelemetry's conventions: the exact set of attributes.

use http::Request;
use opentelemetry::Value;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute;
use tonic::Status;
use tonic::transport::server::TcpConnectInfo;
use tonic_call::Side;
use tonic_call_test_kit::Script;
use tonic_tracing_layer::{Conventions, TracingLayer};

use crate::common::*;

const ALL: [Conventions; 4] =
    [Conventions::Old, Conventions::Released, Conventions::Next, Conventions::OldAndReleased];

/// A request with a peer address, a server name and metadata.
fn full_request(path: &str, peer: &str) -> Request<Script> {
    let mut request = with(
        to(&format!("http://orders.example:8443{path}")),
        &[("x-tenant", "blue"), ("x-tenant", "green"), ("grpc-previous-rpc-attempts", "2")],
    );
    let remote_addr = Some(peer.parse().unwrap());
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    request
}

fn full_layer(traces: &Traces, side: Side, conventions: Conventions) -> TracingLayer {
    traces
        .described(side)
        .conventions(conventions)
        .request_metadata(["x-tenant"])
        .response_metadata(["x-region"])
}

fn full_answer(status: &Status) -> Answer {
    let mut response = stream(1, status);
    response.headers_mut().insert("x-region", "eu".parse().unwrap());
    Ok(response)
}

/// The span of a failed call with all attributes.
async fn full_span(side: Side, conventions: Conventions, path: &str) -> SpanData {
    let traces = Traces::new();
    let layer = full_layer(&traces, side, conventions);
    let status = Status::internal("no");
    call(&layer, full_request(path, "192.0.2.1:4711"), move || full_answer(&status)).await;
    traces.only()
}

fn expected(pairs: &[(&str, Value)]) -> Vec<(String, Value)> {
    let mut pairs: Vec<_> =
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

fn found(span: &SpanData) -> Vec<(String, Value)> {
    attributes(span).into_iter().collect()
}

fn list(texts: &[&str]) -> Value {
    let texts = texts.iter().map(|text| (*text).to_owned().into()).collect();
    Value::Array(opentelemetry::Array::String(texts))
}

// For each version: the attributes of both sides for a known method, and those of one side only.

fn old(side: Side) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("rpc.system", "grpc".into()),
        ("rpc.service", "test.v1.Kinds".into()),
        ("rpc.method", "Unary".into()),
        ("rpc.grpc.status_code", 13.into()),
        ("rpc.grpc.request.metadata.x-tenant", list(&["blue", "green"])),
        ("rpc.grpc.response.metadata.x-region", list(&["eu"])),
    ];
    all.extend(whichever(side));
    if side == Side::Server {
        all.push(("client.address", "192.0.2.1".into()));
        all.push(("client.port", 4711.into()));
        all.push(("network.transport", "tcp".into()));
        all.push(("network.type", "ipv4".into()));
    }
    all
}

fn new(side: Side, status: &'static str) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("rpc.system.name", "grpc".into()),
        ("rpc.method", "test.v1.Kinds/Unary".into()),
        (status, "INTERNAL".into()),
        ("error.type", "INTERNAL".into()),
        ("rpc.request.metadata.x-tenant", list(&["blue", "green"])),
        ("rpc.response.metadata.x-region", list(&["eu"])),
    ];
    all.extend(whichever(side));
    all
}

/// The attributes of all versions.
fn whichever(side: Side) -> Vec<(&'static str, Value)> {
    let mut all = vec![("previous-rpc-attempts", 2.into())];
    match side {
        Side::Server => all.extend([
            ("server.address", "orders.example".into()),
            ("server.port", 8443.into()),
            ("network.peer.address", "192.0.2.1".into()),
            ("network.peer.port", 4711.into()),
        ]),
        Side::Client => {
            all.extend([("server.address", "orders.svc".into()), ("server.port", 8080.into())]);
        }
    }
    all
}

#[tokio::test]
async fn the_old_ones_name_service_and_method_apart_and_give_the_code_as_a_number() {
    for side in SIDES {
        let span = full_span(side, Conventions::Old, "/test.v1.Kinds/Unary").await;
        assert_eq!(found(&span), expected(&old(side)), "{side:?}");
        assert_eq!(span.name, "test.v1.Kinds/Unary");
    }
}

/// The peer attributes of a call over a Unix socket, by this version.
#[cfg(unix)]
async fn unix_peer(conventions: Conventions, path: Option<&str>) -> Vec<(String, Value)> {
    use std::os::unix::net::SocketAddr as UnixAddr;
    use std::sync::Arc;

    use tonic::transport::server::UdsConnectInfo;

    let traces = Traces::new();
    let mut request = to("/test.v1.Kinds/Unary");
    let peer_addr = path.map(|path| UnixAddr::from_pathname(path).unwrap());
    let peer_addr = peer_addr.map(|address| Arc::new(address.into()));
    request.extensions_mut().insert(UdsConnectInfo { peer_addr, peer_cred: None });
    let layer = traces.described(Side::Server).conventions(conventions);
    call(&layer, request, || full_answer(&Status::ok(""))).await;
    let of_peer = |(key, _): &(String, Value)| {
        ["client.", "network."].iter().any(|prefix| key.starts_with(prefix))
    };
    found(&traces.only()).into_iter().filter(of_peer).collect()
}

#[cfg(unix)]
#[tokio::test]
async fn a_peer_over_a_unix_socket_is_its_path_and_has_neither_port_nor_family() {
    let path = "/run/a\nb.sock";
    let shown = || Value::from("/run/a\\nb.sock");
    for conventions in ALL {
        let mut named = vec![("network.peer.address", shown())];
        let mut nameless = Vec::new();
        if matches!(conventions, Conventions::Old | Conventions::OldAndReleased) {
            named.extend([("client.address", shown()), ("network.transport", "unix".into())]);
            nameless.push(("network.transport", "unix".into()));
        }
        assert_eq!(unix_peer(conventions, Some(path)).await, expected(&named), "{conventions:?}");
        assert_eq!(unix_peer(conventions, None).await, expected(&nameless), "{conventions:?}");
    }
}

#[tokio::test]
async fn the_released_ones_give_the_code_by_its_name() {
    for side in SIDES {
        let span = full_span(side, Conventions::Released, "/test.v1.Kinds/Unary").await;
        let expected = expected(&new(side, "rpc.response.status_code"));
        assert_eq!(found(&span), expected, "{side:?}");
    }
}

#[tokio::test]
async fn the_next_ones_rename_the_code() {
    for side in SIDES {
        let span = full_span(side, Conventions::Next, "/test.v1.Kinds/Unary").await;
        assert_eq!(found(&span), expected(&new(side, "rpc.status_code")), "{side:?}");
    }
}

#[tokio::test]
async fn in_a_migration_both_are_there_and_the_method_is_the_released_one() {
    for side in SIDES {
        let span = full_span(side, Conventions::OldAndReleased, "/test.v1.Kinds/Unary").await;
        let mut both = old(side);
        both.extend(new(side, "rpc.response.status_code"));
        both.retain(|(key, value)| (*key, value) != ("rpc.method", &Value::from("Unary")));
        let mut both = expected(&both);
        both.dedup();
        assert_eq!(found(&span), both, "{side:?}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_served_is_other_in_the_new_ones_and_nameless_in_the_old() {
    for side in SIDES {
        for conventions in ALL {
            let span = full_span(side, conventions, "/test.v1.Kinds/Unnary").await;
            assert_eq!(span.name, "grpc", "{conventions:?}");
            let is_new = conventions != Conventions::Old;
            let method = text(&span, "rpc.method");
            assert_eq!(method.as_deref(), is_new.then_some("_OTHER"), "{conventions:?}");
            let original = text(&span, "rpc.method_original");
            let sent = is_new.then_some("test.v1.Kinds/Unnary");
            assert_eq!(original.as_deref(), sent, "{conventions:?}");
            assert_eq!(text(&span, "rpc.service"), None, "{conventions:?}");
            let number = number(&span, "rpc.grpc.status_code");
            let is_old = [Conventions::Old, Conventions::OldAndReleased].contains(&conventions);
            assert_eq!(number, is_old.then_some(13), "{conventions:?}");
        }
    }
}

#[tokio::test]
async fn a_method_that_is_learnt_from_its_first_call_is_told_as_one_that_was_known() {
    for side in SIDES {
        for conventions in ALL {
            let known = full_span(side, conventions, "/test.v1.Kinds/Unary").await;
            let traces = Traces::new();
            let layer = traces.layer(side).conventions(conventions);
            let layer = layer.request_metadata(["x-tenant"]).response_metadata(["x-region"]);
            let status = Status::internal("no");
            let request = full_request("/test.v1.Kinds/Unary", "192.0.2.1:4711");
            call(&layer, request, move || full_answer(&status)).await;
            let learnt = traces.only();
            assert_eq!(found(&learnt), found(&known), "{side:?} {conventions:?}");
            assert_eq!((learnt.name, learnt.status), (known.name, known.status));
        }
    }
}

#[tokio::test]
async fn a_peer_of_an_ipv6_socket_is_told_as_what_it_is() {
    for (peer, address, family) in [
        ("[2001:db8::1]:4711", "2001:db8::1", "ipv6"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1", "ipv4"),
    ] {
        let traces = Traces::new();
        let layer = full_layer(&traces, Side::Server, Conventions::OldAndReleased);
        call_well(&layer, full_request("/test.v1.Kinds/Unary", peer)).await;
        let span = traces.only();
        assert_eq!(text(&span, "network.peer.address").as_deref(), Some(address));
        assert_eq!(text(&span, "client.address").as_deref(), Some(address));
        assert_eq!(text(&span, "network.type").as_deref(), Some(family));
        assert_eq!(number(&span, "network.peer.port"), Some(4711));
    }
}

#[tokio::test]
async fn what_is_not_known_is_not_said() {
    for side in SIDES {
        for conventions in ALL {
            let traces = Traces::new();
            let layer = match side {
                Side::Server => TracingLayer::server(),
                Side::Client => TracingLayer::client(""),
            };
            let layer = layer
                .with_tracer_provider(traces.provider())
                .methods(&methods())
                .conventions(conventions);
            call_well(&layer, to("/test.v1.Kinds/Unary")).await;
            let expected: &[&str] = match conventions {
                Conventions::Old => {
                    &["rpc.grpc.status_code", "rpc.method", "rpc.service", "rpc.system"]
                }
                Conventions::Released => {
                    &["rpc.method", "rpc.response.status_code", "rpc.system.name"]
                }
                Conventions::Next => &["rpc.method", "rpc.status_code", "rpc.system.name"],
                _ => &[
                    "rpc.grpc.status_code",
                    "rpc.method",
                    "rpc.response.status_code",
                    "rpc.service",
                    "rpc.system",
                    "rpc.system.name",
                ],
            };
            assert_eq!(keys(&traces.only()), expected, "{side:?} {conventions:?}");
        }
    }
}

#[tokio::test]
async fn only_the_released_and_the_old_ones_have_a_schema_and_it_is_theirs() {
    for (conventions, url) in [
        (Conventions::Old, Some("https://opentelemetry.io/schemas/1.37.0")),
        (Conventions::Released, Some("https://opentelemetry.io/schemas/1.44.0")),
        // Unpublished, or a mix of two versions.
        (Conventions::Next, None),
        (Conventions::OldAndReleased, None),
    ] {
        let scope = full_span(Side::Server, conventions, "/test.v1.Kinds/Unary").await;
        let scope = scope.instrumentation_scope;
        assert_eq!(scope.name(), "tonic-tracing-layer");
        assert_eq!(scope.version(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(scope.schema_url(), url, "{conventions:?}");
    }
}

/// The names in OpenTelemetry's crate of constants. The crate follows version 1.42, and still contains the names
/// that were removed since 1.37.
const CONSTANTS: [&str; 20] = [
    attribute::RPC_SYSTEM_NAME,
    attribute::RPC_METHOD,
    attribute::RPC_METHOD_ORIGINAL,
    attribute::RPC_RESPONSE_STATUS_CODE,
    attribute::ERROR_TYPE,
    attribute::SERVER_ADDRESS,
    attribute::SERVER_PORT,
    attribute::NETWORK_PEER_ADDRESS,
    attribute::NETWORK_PEER_PORT,
    attribute::NETWORK_TRANSPORT,
    attribute::NETWORK_TYPE,
    attribute::CLIENT_ADDRESS,
    attribute::CLIENT_PORT,
    attribute::RPC_REQUEST_METADATA,
    attribute::RPC_RESPONSE_METADATA,
    #[allow(deprecated)]
    attribute::RPC_SYSTEM,
    #[allow(deprecated)]
    attribute::RPC_SERVICE,
    #[allow(deprecated)]
    attribute::RPC_GRPC_STATUS_CODE,
    #[allow(deprecated)]
    attribute::RPC_GRPC_REQUEST_METADATA,
    #[allow(deprecated)]
    attribute::RPC_GRPC_RESPONSE_METADATA,
];

/// Keys without a constant: the first was added after 1.44, the second is from gRPC's proposal A72.
const WITHOUT_CONSTANT: [&str; 2] = ["rpc.status_code", "previous-rpc-attempts"];

#[tokio::test]
async fn every_key_is_one_of_opentelemetry() {
    let mut used = Vec::new();
    for conventions in ALL {
        for side in SIDES {
            for path in ["/test.v1.Kinds/Unary", "/test.v1.Kinds/Unnary"] {
                let span = full_span(side, conventions, path).await;
                used.extend(keys(&span));
            }
        }
    }
    used.sort();
    used.dedup();
    // The metadata constants are key prefixes.
    let used: Vec<_> = used
        .iter()
        .map(|key| key.trim_end_matches(".x-tenant").trim_end_matches(".x-region"))
        .collect();
    for key in &used {
        let known = CONSTANTS.contains(key) || WITHOUT_CONSTANT.contains(key);
        assert!(known, "{key} is nobody's");
    }
    for key in CONSTANTS.iter().chain(&WITHOUT_CONSTANT) {
        assert!(used.contains(key), "{key} is not used");
    }
}

/// Lists the keys of the released version by their constants.
#[tokio::test]
async fn the_released_keys_are_the_constants() {
    let span = full_span(Side::Server, Conventions::Released, "/test.v1.Kinds/Unnary").await;
    let metadata = [
        format!("{}.x-tenant", attribute::RPC_REQUEST_METADATA),
        format!("{}.x-region", attribute::RPC_RESPONSE_METADATA),
    ];
    let mut expected: Vec<_> = [
        attribute::RPC_SYSTEM_NAME,
        attribute::RPC_METHOD,
        attribute::RPC_METHOD_ORIGINAL,
        attribute::RPC_RESPONSE_STATUS_CODE,
        attribute::ERROR_TYPE,
        attribute::SERVER_ADDRESS,
        attribute::SERVER_PORT,
        attribute::NETWORK_PEER_ADDRESS,
        attribute::NETWORK_PEER_PORT,
        // No constant: it is from gRPC's proposal A72.
        "previous-rpc-attempts",
    ]
    .into_iter()
    .chain(metadata.iter().map(String::as_str))
    .collect();
    expected.sort_unstable();
    assert_eq!(keys(&span), expected);
}

#[test]
fn the_released_ones_are_the_default() {
    assert_eq!(Conventions::default(), Conventions::Released);
}
