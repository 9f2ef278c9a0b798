//! The keys and values of a line.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::{Map, Value, json};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic_call::{CallInfo, MethodKind, Refusal, Side, TraceIds};
use tonic_call_test_kit::Script;
use tonic_logging_layer::{KeyError, LoggingLayer};
use tower::{Layer as _, service_fn};
use tracing::Level;

use crate::common::{
    self, Lines, SIDES, Seen, described, layer, run, stream, to_kind, trailers_only, with,
};

/// All keys that a line can have, except for metadata and declared keys.
const ALL: [&str; 25] = [
    "duration_ms",
    "enduser.id",
    "fields",
    "grpc.component",
    "grpc.ended_by",
    "grpc.method_type",
    "grpc.protocol",
    "grpc.refused_by",
    "grpc.refused_reason",
    "grpc.request.bytes",
    "grpc.request.messages",
    "grpc.response.bytes",
    "grpc.response.messages",
    "grpc.status_message",
    "grpc.timeout_ms",
    "message",
    "network.peer.address",
    "network.peer.port",
    "request_id",
    "rpc.method",
    "rpc.response.status_code",
    "rpc.system.name",
    "span_id",
    "trace_id",
    "user_agent.original",
];

/// The keys of every line of a finished call.
const ALWAYS: [&str; 12] = [
    "duration_ms",
    "grpc.component",
    "grpc.ended_by",
    "grpc.method_type",
    "grpc.protocol",
    "grpc.request.bytes",
    "grpc.request.messages",
    "grpc.response.bytes",
    "grpc.response.messages",
    "message",
    "rpc.method",
    "rpc.response.status_code",
];

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// A request with every header that a line includes.
fn full_request() -> Request<Script> {
    let mut request = with(
        to_kind(MethodKind::ServerStream),
        &[
            ("grpc-timeout", "5S"),
            ("user-agent", "grpc-test/1.0"),
            ("x-request-id", "8f14e45f"),
            ("traceparent", TRACEPARENT),
            ("x-tenant", "acme"),
            ("x-other", "not allowed"),
        ],
    );
    let remote_addr = Some(SocketAddr::from(([192, 0, 2, 7], 51_234)));
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    request
}

/// A service whose layers and handler set every value that a line includes.
async fn full(request: Request<Body>) -> Result<Response<Script>, Status> {
    let info = CallInfo::of(request.extensions()).unwrap();
    info.set_principal("spiffe://example.org/billing");
    info.add_refusal(Refusal::new("ratelimit", "per_second"));
    info.add_field("order.id", 4_711_u64);
    info.add_field("other", "too");
    common::drain(request.into_body()).await;
    let mut trailers = Status::resource_exhausted("too many").into_http::<()>().headers().clone();
    trailers.insert("x-cost", HeaderValue::from_static("7"));
    trailers.insert("x-unasked", HeaderValue::from_static("not allowed"));
    Ok(Script::new().message(b"four").message(b"five!").trailers_of(trailers).respond())
}

fn full_layer() -> LoggingLayer {
    described(Side::Server)
        .request_metadata(["x-tenant"])
        .response_metadata(["x-cost"])
        .fields(["order.id"])
        .unwrap()
}

async fn full_line(lines: &Lines) -> Seen {
    run(full_layer().layer(service_fn(full)), full_request()).await;
    lines.only()
}

#[tokio::test(start_paused = true)]
async fn a_full_line_has_exactly_the_keys_of_the_design_and_they_are_right() {
    let lines = Lines::listen();
    let line = full_line(&lines).await;
    let mut keys: Vec<_> = ALL.to_vec();
    keys.extend(["order.id", "rpc.request.metadata.x-tenant", "rpc.response.metadata.x-cost"]);
    keys.sort_unstable();
    assert_eq!(line.keys(), keys);
    let expected = json!({
        "message": "finished call",
        "rpc.system.name": "grpc",
        "rpc.method": "test.v1.Kinds/ServerStream",
        "rpc.response.status_code": "RESOURCE_EXHAUSTED",
        "grpc.component": "server",
        "grpc.protocol": "grpc",
        "grpc.method_type": "server_stream",
        "duration_ms": 0.0,
        "grpc.request.messages": 1,
        "grpc.request.bytes": 1,
        "grpc.response.messages": 2,
        "grpc.response.bytes": 9,
        "network.peer.address": "192.0.2.7",
        "network.peer.port": 51_234,
        "grpc.timeout_ms": 5_000,
        "user_agent.original": "grpc-test/1.0",
        "enduser.id": "spiffe://example.org/billing",
        "grpc.status_message": "too many",
        "grpc.ended_by": "refusal",
        "grpc.refused_by": "ratelimit",
        "grpc.refused_reason": "per_second",
        "request_id": "8f14e45f",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "00f067aa0ba902b7",
        "rpc.request.metadata.x-tenant": "acme",
        "rpc.response.metadata.x-cost": "7",
        "order.id": 4_711,
        "fields": "{\"other\":\"too\"}",
    });
    assert_eq!(Value::from(line.fields.clone()), expected);
    assert_eq!((line.level, line.is_root), (Level::WARN, true));
    assert!(line.spans.is_empty());

    // In JSON the keys are the same, at the top level, next to the formatter's own keys.
    let [mut json] = <[_; 1]>::try_from(lines.json()).unwrap();
    let timestamp = json.remove("timestamp").unwrap();
    assert!(timestamp.as_str().unwrap().ends_with('Z'));
    assert_eq!(json.remove("level"), Some("WARN".into()));
    assert_eq!(json.remove("target"), Some("tonic_logging_layer".into()));
    assert_eq!(Value::from(json), expected);
}

#[tokio::test]
async fn what_a_call_does_not_have_is_left_out() {
    let lines = Lines::listen();
    for side in SIDES {
        let layer = match side {
            Side::Server => full_layer(),
            Side::Client => described(side),
        };
        common::call(&layer, to_kind(MethodKind::Unary), || Ok(stream(1, &Status::ok("")))).await;
        let mut keys = ALWAYS.to_vec();
        keys.push("rpc.system.name");
        let line = lines.take_only();
        assert_eq!(line.keys(), keys, "{side:?}");
        assert_eq!(line.text("rpc.system.name"), Some("grpc"));
    }
}

#[tokio::test]
async fn an_ok_has_no_message_even_if_one_is_sent() {
    let lines = Lines::listen();
    common::call(&layer(Side::Server), to_kind(MethodKind::Unary), || {
        Ok(stream(1, &Status::ok("all is well")))
    })
    .await;
    assert_eq!(lines.take_only().text("grpc.status_message"), None);
}

#[tokio::test]
async fn without_methods_the_kind_is_unknown() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server();
    for _ in 0..2 {
        common::call(&layer, to_kind(MethodKind::Unary), || Ok(stream(1, &Status::ok("")))).await;
        let line = lines.take_only();
        assert_eq!(line.text("grpc.method_type"), Some("unknown"));
        assert_eq!(line.text("rpc.method"), Some("test.v1.Kinds/Unary"));
    }
}

#[tokio::test]
async fn a_timeout_is_told_in_milliseconds() {
    let lines = Lines::listen();
    for (timeout, ms) in [
        ("1H", 3_600_000),
        ("2M", 120_000),
        ("99999999S", 99_999_999_000),
        ("250m", 250),
        ("1500u", 2),
        ("1n", 1),
        ("0n", 0),
        ("99999999H", 99_999_999 * 3_600_000),
    ] {
        let request = with(to_kind(MethodKind::Unary), &[("grpc-timeout", timeout)]);
        common::call(&layer(Side::Server), request, || Ok(stream(1, &Status::ok("")))).await;
        assert_eq!(lines.take_only().number("grpc.timeout_ms"), Some(ms), "{timeout}");
    }
}

#[tokio::test]
async fn an_ipv6_peer_is_told_without_brackets_and_a_mapped_one_as_ipv4() {
    let lines = Lines::listen();
    for (peer, address) in
        [("[2001:db8::1]:7", "2001:db8::1"), ("[::ffff:192.0.2.1]:7", "192.0.2.1")]
    {
        let mut request = to_kind(MethodKind::Unary);
        let remote_addr = Some(peer.parse().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        common::call(&layer(Side::Server), request, || Ok(stream(1, &Status::ok("")))).await;
        let line = lines.take_only();
        assert_eq!(line.text("network.peer.address"), Some(address));
        assert_eq!(line.number("network.peer.port"), Some(7));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_peer_is_told_by_its_path_on_one_line_and_has_no_port() {
    use std::os::unix::net::SocketAddr as UnixAddr;
    use std::sync::Arc;

    use tonic::transport::server::UdsConnectInfo;

    let lines = Lines::listen();
    for (path, address) in [
        (None, None),
        (Some("/run/a client.sock"), Some("/run/a client.sock")),
        (Some("/run/\n\u{202e}.sock"), Some("/run/\\n\\u{202e}.sock")),
    ] {
        let mut request = to_kind(MethodKind::Unary);
        let peer_addr = path.map(|path| UnixAddr::from_pathname(path).unwrap());
        let peer_addr = peer_addr.map(|address| Arc::new(address.into()));
        request.extensions_mut().insert(UdsConnectInfo { peer_addr, peer_cred: None });
        common::call(&layer(Side::Server), request, || Ok(stream(1, &Status::ok("")))).await;
        let line = lines.take_only();
        assert_eq!(line.text("network.peer.address"), address);
        assert_eq!(line.number("network.peer.port"), None);
    }
}

/// Regression: if a handler forwarded a request with its extensions, the caller was logged as the
/// peer of the next call.
#[tokio::test]
async fn a_clients_line_has_no_peer_even_if_the_request_was_handed_on() {
    let lines = Lines::listen();
    run(layer(Side::Client).layer(service_fn(full)), full_request()).await;
    let line = lines.take_only();
    assert_eq!(line.text("network.peer.address"), None);
    assert_eq!(line.number("network.peer.port"), None);
}

// Traces.

async fn traced(lines: &Lines, header: Option<&str>, set: Option<TraceIds>) -> Seen {
    let service = service_fn(move |request: Request<Body>| async move {
        if let Some(ids) = set {
            CallInfo::of(request.extensions()).unwrap().set_trace(ids);
        }
        Ok::<_, Status>(stream(1, &Status::ok("")))
    });
    let mut request = to_kind(MethodKind::Unary);
    if let Some(header) = header {
        request = with(request, &[("traceparent", header)]);
    }
    run(layer(Side::Server).layer(service), request).await;
    lines.take_only()
}

#[tokio::test]
async fn the_trace_is_what_a_tracing_layer_says_or_else_the_request() {
    let lines = Lines::listen();
    let line = traced(&lines, Some(TRACEPARENT), None).await;
    assert_eq!(line.text("trace_id"), Some("0af7651916cd43dd8448eb211c80319c"));
    assert_eq!(line.text("span_id"), Some("00f067aa0ba902b7"));

    // The ids have leading zeros.
    let line = traced(&lines, Some(TRACEPARENT), TraceIds::new(0xab, 0xcd)).await;
    assert_eq!(line.text("trace_id"), Some("000000000000000000000000000000ab"));
    assert_eq!(line.text("span_id"), Some("00000000000000cd"));

    for header in [None, Some("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01")] {
        let line = traced(&lines, header, None).await;
        assert_eq!((line.text("trace_id"), line.text("span_id")), (None, None));
    }
}

// Fields of handlers.

async fn with_fields(
    lines: &Lines,
    declared: &[&str],
    add: impl Fn(&CallInfo) + Clone + Send + 'static,
) -> Seen {
    let service = service_fn(move |request: Request<Body>| {
        add(CallInfo::of(request.extensions()).unwrap());
        async { Ok::<_, Status>(stream(1, &Status::ok(""))) }
    });
    let layer = layer(Side::Server).fields(declared.iter().copied()).unwrap();
    run(layer.layer(service), to_kind(MethodKind::Unary)).await;
    let line = lines.only();
    let [json] = <[_; 1]>::try_from(lines.json()).unwrap();
    for (key, value) in &line.fields {
        // Values that JSON cannot represent are `null`.
        let same = json.get(key).is_some_and(|in_json| in_json == value || in_json.is_null());
        assert!(same, "{key} is {value:?}, and in JSON {:?}", json.get(key));
    }
    lines.take();
    line
}

fn every_kind(info: &CallInfo) {
    info.add_field("text", "text");
    info.add_field("owned", String::from("said \"so\"\n\u{1b}[31mand more"));
    info.add_field("signed", i64::MIN);
    info.add_field("unsigned", u64::MAX);
    info.add_field("float", 1.5);
    info.add_field("yes", true);
    info.add_field("no", false);
}

const EVERY_KIND: [&str; 7] = ["text", "owned", "signed", "unsigned", "float", "yes", "no"];

fn every_value() -> Map<String, Value> {
    let Value::Object(values) = json!({
        "text": "text",
        "owned": r#"said "so"\n\u{1b}[31mand more"#,
        "signed": i64::MIN,
        "unsigned": u64::MAX,
        "float": 1.5,
        "yes": true,
        "no": false,
    }) else {
        unreachable!()
    };
    values
}

#[tokio::test]
async fn declared_fields_of_every_kind_have_keys_of_their_own() {
    let lines = Lines::listen();
    let line = with_fields(&lines, &EVERY_KIND, every_kind).await;
    for (key, value) in every_value() {
        assert_eq!(line.fields.get(&key), Some(&value), "{key}");
    }
    assert_eq!(line.text("fields"), None);
}

/// The fields of `tonic-auth-layer` and `tonic-ratelimit-layer`.
const OF_LAYERS: [&str; 7] = [
    "auth.check",
    "auth.expected",
    "auth.received",
    "ratelimit.limit",
    "ratelimit.key",
    "ratelimit.wait_ms",
    "ratelimit.shadow",
];

/// Regression: fields were JSON inside a string, which log stores cannot search.
#[tokio::test]
async fn what_the_layers_add_has_keys_of_its_own_declared_or_not() {
    let lines = Lines::listen();
    let of_layers =
        |info: &CallInfo| OF_LAYERS.into_iter().for_each(|key| info.add_field(key, 7_u64));
    for declared in [&[][..], &["order.id"], &OF_LAYERS] {
        let line = with_fields(&lines, declared, of_layers).await;
        for key in OF_LAYERS {
            assert_eq!(line.fields.get(key), Some(&json!(7)), "{key} with {declared:?}");
        }
        assert_eq!(line.text("fields"), None);
    }
}

#[tokio::test]
async fn other_fields_of_every_kind_are_json_in_one() {
    let lines = Lines::listen();
    let line = with_fields(&lines, &["declared"], every_kind).await;
    let fields: Map<String, Value> = serde_json::from_str(line.text("fields").unwrap()).unwrap();
    assert_eq!(fields, every_value());
    assert!(!line.fields.contains_key("text") && !line.fields.contains_key("declared"));
}

#[tokio::test]
async fn declared_and_other_fields_stand_beside_each_other() {
    let lines = Lines::listen();
    let line = with_fields(&lines, &["signed", "never", "no"], every_kind).await;
    assert_eq!(line.fields["signed"], json!(i64::MIN));
    assert_eq!(line.fields["no"], json!(false));
    assert!(!line.fields.contains_key("never"));
    let fields: Map<String, Value> = serde_json::from_str(line.text("fields").unwrap()).unwrap();
    assert_eq!(fields.len(), 5);
}

#[tokio::test]
async fn of_a_key_that_is_added_twice_the_last_value_counts() {
    let lines = Lines::listen();
    let twice = |info: &CallInfo| {
        for key in ["declared", "other"] {
            info.add_field(key, "first");
            info.add_field(key, 2_u64);
        }
    };
    let line = with_fields(&lines, &["declared"], twice).await;
    assert_eq!(line.fields["declared"], json!(2));
    assert_eq!(line.text("fields"), Some(r#"{"other":2}"#));
}

#[tokio::test]
async fn a_field_cannot_take_the_key_of_something_else() {
    let lines = Lines::listen();
    let forged = |info: &CallInfo| {
        info.add_field("rpc.method", "forged/Method");
        info.add_field("level", "TRACE");
        info.add_field("a\nb", 1_u64);
    };
    let line = with_fields(&lines, &[], forged).await;
    assert_eq!(line.text("rpc.method"), Some("test.v1.Kinds/Unary"));
    let fields: Map<String, Value> = serde_json::from_str(line.text("fields").unwrap()).unwrap();
    assert_eq!(fields["rpc.method"], "forged/Method");
    assert_eq!(fields["level"], "TRACE");
    assert_eq!(fields["a\\nb"], 1);
}

/// Regression: a handler's field replaced the caller's metadata.
#[tokio::test]
async fn a_field_cannot_take_the_key_of_metadata() {
    let lines = Lines::listen();
    for sent in [Some("sent"), None] {
        let service = service_fn(|request: Request<Body>| {
            let info = CallInfo::of(request.extensions()).unwrap();
            info.add_field("rpc.request.metadata.x-tenant", "forged");
            async { Ok::<_, Status>(stream(1, &Status::ok(""))) }
        });
        let mut request = to_kind(MethodKind::Unary);
        if let Some(sent) = sent {
            request = with(request, &[("x-tenant", sent)]);
        }
        let layer = layer(Side::Server).request_metadata(["x-tenant"]);
        run(layer.layer(service), request).await;
        let line = lines.take_only();
        assert_eq!(line.text("rpc.request.metadata.x-tenant"), sent);
        let fields = r#"{"rpc.request.metadata.x-tenant":"forged"}"#;
        assert_eq!(line.text("fields"), Some(fields));
    }
}

#[tokio::test]
async fn a_number_that_is_none_is_null_in_json() {
    let lines = Lines::listen();
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let both = move |info: &CallInfo| {
            info.add_field("declared", number);
            info.add_field("other", number);
        };
        let line = with_fields(&lines, &["declared"], both).await;
        assert_eq!(line.text("fields"), Some(r#"{"other":null}"#));
    }
}

#[test]
fn every_key_of_a_line_is_taken() {
    let of_formatters = [
        "timestamp",
        "level",
        "target",
        "filename",
        "line_number",
        "span",
        "spans",
        "threadName",
        "threadId",
    ];
    let metadata = ["rpc.request.metadata.x", "rpc.response.metadata.x"];
    for taken in ALL.into_iter().chain(of_formatters).chain(metadata) {
        let error: KeyError = LoggingLayer::server().fields(["free", taken]).unwrap_err();
        assert_eq!(error.key(), taken);
        assert!(error.to_string().contains(&format!("{taken:?}")), "{error}");
    }
    LoggingLayer::server().fields(["free", "free"]).unwrap();
}

#[tokio::test]
async fn there_is_room_for_forty_keys_and_the_rest_of_the_fields_is_kept_too() {
    let lines = Lines::listen();
    let names: Vec<String> = (0..45).map(|number| format!("field.{number}")).collect();
    let added = names.clone();
    let service = service_fn(move |request: Request<Body>| {
        let info = CallInfo::of(request.extensions()).unwrap();
        for (number, name) in added.iter().enumerate() {
            info.add_field(name.clone(), number);
        }
        async { Ok::<_, Status>(trailers_only(&Status::ok(""))) }
    });
    let layer = layer(Side::Server)
        .fields(names)
        .unwrap()
        .request_metadata(["x-a", "x-b"])
        .response_metadata(["x-c"]);
    let request = with(to_kind(MethodKind::Unary), &[("x-b", "b")]);
    run(layer.layer(service), request).await;
    let line = lines.take_only();
    assert_eq!(line.text("rpc.request.metadata.x-b"), Some("b"));
    let declared = line.fields.keys().filter(|key| key.starts_with("field.")).count();
    assert_eq!(declared, 37, "{line:#?}");
    assert_eq!(line.number("field.36"), Some(36));
    let fields: Map<String, Value> = serde_json::from_str(line.text("fields").unwrap()).unwrap();
    assert_eq!(fields.len(), 8);
    assert_eq!(fields["field.44"], 44);
}

/// Regression: allowed metadata was silently lost.
#[tokio::test]
async fn metadata_for_which_there_is_no_room_is_not_lost() {
    let lines = Lines::listen();
    let names: Vec<String> = (0..41).map(|number| format!("x-{number}")).collect();
    let layer = layer(Side::Server).request_metadata(&names);
    let request = with(to_kind(MethodKind::Unary), &[("x-0", "first"), ("x-40", "last")]);
    common::call(&layer, request, || Ok(stream(1, &Status::ok("")))).await;
    let line = lines.take_only();
    assert_eq!(line.text("rpc.request.metadata.x-0"), Some("first"));
    let everywhere = Value::from(line.fields.clone()).to_string();
    assert!(everywhere.contains("last"), "{everywhere}");
}

// Metadata.

fn metadata_layer(side: Side) -> LoggingLayer {
    layer(side)
        .request_metadata(["X-Tenant", "x-region", "x-absent", "x-tenant"])
        .response_metadata(["x-in-head", "x-in-both", "x-in-trailers"])
}

fn response_metadata(line: &Seen) -> [Option<&str>; 3] {
    ["x-in-head", "x-in-both", "x-in-trailers"]
        .map(|name| line.text(&format!("rpc.response.metadata.{name}")))
}

#[tokio::test]
async fn metadata_is_told_if_it_is_allowed_several_values_as_one() {
    let lines = Lines::listen();
    for side in SIDES {
        let request = with(
            to_kind(MethodKind::Unary),
            &[
                ("x-region", "eu"),
                ("x-tenant", "a"),
                ("x-other", "secret"),
                ("x-tenant", "b, c"),
                ("x-tenant", ""),
            ],
        );
        common::call(&metadata_layer(side), request, || Ok(stream(1, &Status::ok("")))).await;
        let line = lines.take_only();
        assert_eq!(line.text("rpc.request.metadata.x-tenant"), Some("a, b, c, "));
        assert_eq!(line.text("rpc.request.metadata.x-region"), Some("eu"));
        assert_eq!(line.text("rpc.request.metadata.x-absent"), None);
        assert!(!format!("{line:?}").contains("secret"));
    }
}

#[tokio::test]
async fn a_responses_metadata_is_told_from_its_head_and_from_its_trailers() {
    let lines = Lines::listen();
    for side in SIDES {
        common::call(&metadata_layer(side), to_kind(MethodKind::Unary), || {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", 0.into());
            trailers.append("x-in-trailers", HeaderValue::from_static("t1"));
            trailers.append("x-in-trailers", HeaderValue::from_static("t2"));
            trailers.append("x-in-both", HeaderValue::from_static("of the trailers"));
            trailers.append("x-unasked", HeaderValue::from_static("secret"));
            let mut response = Script::new().messages(1).trailers_of(trailers).respond();
            response.headers_mut().append("x-in-head", HeaderValue::from_static("h1"));
            response.headers_mut().append("x-in-head", HeaderValue::from_static("h2"));
            response.headers_mut().append("x-in-both", HeaderValue::from_static("of the head"));
            response.headers_mut().append("x-unasked", HeaderValue::from_static("secret"));
            Ok(response)
        })
        .await;
        let line = lines.take_only();
        assert_eq!(response_metadata(&line), [Some("h1, h2"), Some("of the head"), Some("t1, t2")]);
        assert!(!format!("{line:?}").contains("secret"));
    }
}

#[tokio::test]
async fn metadata_of_an_answer_that_is_only_a_head_is_told_once() {
    let lines = Lines::listen();
    for side in SIDES {
        common::call(&metadata_layer(side), to_kind(MethodKind::Unary), || {
            let mut response = trailers_only(&Status::not_found(""));
            response.headers_mut().append("x-in-head", HeaderValue::from_static("a"));
            response.headers_mut().append("x-in-trailers", HeaderValue::from_static("b"));
            Ok(response)
        })
        .await;
        let line = lines.take_only();
        assert_eq!(response_metadata(&line), [Some("a"), None, Some("b")]);
    }
}

#[tokio::test]
async fn metadata_of_a_head_is_told_although_the_stream_is_dropped() {
    let lines = Lines::listen();
    let mut service = metadata_layer(Side::Client).layer(common::answers(|| {
        let mut response = Script::new().stall().respond();
        response.headers_mut().append("x-in-head", HeaderValue::from_static("a"));
        Ok(response)
    }));
    drop(tower::Service::call(&mut service, to_kind(MethodKind::ServerStream)).await.unwrap());
    assert_eq!(response_metadata(&lines.take_only()), [Some("a"), None, None]);
}

const SECRETS: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-key-bin",
    "grpc-status-details-bin",
];

#[tokio::test]
async fn what_may_hold_a_secret_is_never_told_even_if_it_is_allowed() {
    let lines = Lines::listen();
    for side in SIDES {
        let layer = layer(side)
            .request_metadata(SECRETS.into_iter().chain(["Authorization", "x-open"]))
            .response_metadata(SECRETS.into_iter().chain(["x-open"]))
            .starts(Level::INFO)
            .messages(Level::INFO);
        let mut request = with(to_kind(MethodKind::Unary), &[("x-open", "shown")]);
        for name in SECRETS {
            request = with(request, &[(name, "c2VjcmV0")]);
        }
        let in_head = side == Side::Client;
        common::call(&layer, request, move || {
            let mut trailers = HeaderMap::new();
            for name in SECRETS {
                trailers.insert(name, HeaderValue::from_static("c2VjcmV0"));
            }
            trailers.insert("x-open", HeaderValue::from_static("shown too"));
            trailers.insert("grpc-status", 5.into());
            if in_head {
                let mut response = Script::new().says_end().respond();
                response.headers_mut().extend(trailers);
                return Ok(response);
            }
            Ok(Script::new().trailers_of(trailers).respond())
        })
        .await;
        let line = lines.finished().pop().unwrap();
        assert_eq!(line.text("rpc.request.metadata.x-open"), Some("shown"));
        assert_eq!(line.text("rpc.response.metadata.x-open"), Some("shown too"));
        for format in 0..common::FORMATS {
            let written = String::from_utf8(lines.written(format)).unwrap();
            assert!(!written.contains("c2VjcmV0"), "{written}");
        }
        lines.take();
    }
}

#[tokio::test]
async fn a_value_that_is_marked_as_sensitive_is_never_told() {
    let lines = Lines::listen();
    let mut sensitive = HeaderValue::from_static("s3cret");
    sensitive.set_sensitive(true);
    for side in SIDES {
        let mut request = to_kind(MethodKind::Unary);
        request.headers_mut().append("x-tenant", sensitive.clone());
        request.headers_mut().append("x-tenant", HeaderValue::from_static("open"));
        request.headers_mut().append("x-region", sensitive.clone());
        let value = sensitive.clone();
        common::call(&metadata_layer(side), request, move || {
            let mut response = trailers_only(&Status::not_found(""));
            response.headers_mut().append("x-in-head", value.clone());
            Ok(response)
        })
        .await;
        let line = lines.take_only();
        assert_eq!(line.text("rpc.request.metadata.x-tenant"), Some("open"));
        assert!(!format!("{line:?}").contains("s3cret"), "{line:#?}");
    }
}

/// Regression: sensitive values of these headers were written.
#[tokio::test]
async fn a_request_id_or_user_agent_that_is_marked_as_sensitive_is_never_told() {
    let lines = Lines::listen();
    let mut sensitive = HeaderValue::from_static("s3cret");
    sensitive.set_sensitive(true);
    for side in SIDES {
        let mut request = to_kind(MethodKind::Unary);
        request.headers_mut().append("x-request-id", sensitive.clone());
        request.headers_mut().append("user-agent", sensitive.clone());
        common::call(&layer(side), request, || Ok(stream(1, &Status::ok("")))).await;
        let line = lines.take_only();
        assert!(!format!("{line:?}").contains("s3cret"), "{line:#?}");
    }
}

#[tokio::test]
async fn a_name_that_no_header_can_have_is_no_error() {
    let lines = Lines::listen();
    let layer = layer(Side::Server).request_metadata(["not a name", "", "x-tenant"]);
    let request = with(to_kind(MethodKind::Unary), &[("x-tenant", "acme")]);
    common::call(&layer, request, || Ok(stream(1, &Status::ok("")))).await;
    assert_eq!(lines.take_only().text("rpc.request.metadata.x-tenant"), Some("acme"));
}

#[tokio::test]
async fn many_layers_with_keys_of_their_own_do_not_mix_them_up() {
    let lines = Lines::listen();
    let with_key = |key: &'static str| {
        layer(Side::Server).request_metadata(["x-tenant"]).fields([key]).unwrap()
    };
    let (one, other) = (with_key("one"), with_key("other"));
    for (layer, key) in [(&one, "one"), (&other, "other"), (&one, "one")] {
        let service = service_fn(move |request: Request<Body>| {
            CallInfo::of(request.extensions()).unwrap().add_field(key, 1_u64);
            async { Ok::<_, Status>(trailers_only(&Status::ok(""))) }
        });
        let request = with(to_kind(MethodKind::Unary), &[("x-tenant", "acme")]);
        run(layer.layer(service), request).await;
        let line = lines.take_only();
        assert_eq!(line.number(key), Some(1));
        assert_eq!(line.text("rpc.request.metadata.x-tenant"), Some("acme"));
        assert_eq!(line.text("fields"), None);
    }
}
