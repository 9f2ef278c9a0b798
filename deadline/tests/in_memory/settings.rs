//! Which limit a call has, by the settings of each side. Time is paused.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_call::MethodKind;
use tonic_call_test_kit::{KINDS, Lines, Script, frame, method_of, methods, to, to_kind, with};
use tonic_deadline_layer::{Deadline, DeadlineLayer, MethodTable};
use tower::{Layer, Service, ServiceExt as _, service_fn};

const SERVICE: &str = "test.v1.Kinds";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A service that answers at once, with the deadline that it was sent: the response has the same header.
fn echo() -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future + Send + 'static,
> + Clone
+ Send
+ 'static {
    service_fn(|request: Request<tonic::body::Body>| async move {
        let mut response = Script::new().trailers(Code::Ok).respond();
        if let Some(timeout) = request.headers().get("grpc-timeout") {
            response.headers_mut().insert("grpc-timeout", timeout.clone());
        }
        Ok(response)
    })
}

/// The `grpc-timeout` that a call of this kind is sent with.
async fn sent<L, S, B>(layer: &L, kind: MethodKind) -> Option<String>
where
    L: Layer<BoxedEcho, Service = S>,
    S: Service<Request<Script>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: Body,
{
    let channel = tower::util::BoxCloneService::new(echo());
    let mut channel = layer.layer(channel);
    let response = channel.ready().await.unwrap().call(to_kind(kind)).await.unwrap();
    Some(response.headers().get("grpc-timeout")?.to_str().unwrap().to_owned())
}

type BoxedEcho = tower::util::BoxCloneService<Request<tonic::body::Body>, Response<Script>, Status>;

#[tokio::test(start_paused = true)]
async fn a_client_without_limits_sends_none() {
    for kind in KINDS {
        assert_eq!(sent(&DeadlineLayer::client(None), kind).await, None, "{kind}");
        let layer = DeadlineLayer::client(None).methods(&methods());
        assert_eq!(sent(&layer, kind).await, None, "{kind}");
        let layer = DeadlineLayer::client(MethodTable::new(None)).methods(&methods());
        assert_eq!(sent(&layer, kind).await, None, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_default_is_for_unary_methods() {
    for layer in [
        DeadlineLayer::client(secs(5)),
        DeadlineLayer::client(Some(secs(5))),
        DeadlineLayer::client(MethodTable::new(Some(secs(5)))),
        DeadlineLayer::client(MethodTable::new(None).service(SERVICE, Some(secs(5)))),
    ] {
        let layer = layer.methods(&methods());
        for kind in KINDS {
            let expected = (kind == MethodKind::Unary).then(|| "5000000u".to_owned());
            assert_eq!(sent(&layer, kind).await, expected, "{kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_rule_for_a_method_is_for_any_kind_and_wins_over_the_default() {
    let limits = MethodTable::new(Some(secs(5)))
        .method(SERVICE, "ServerStream", Some(secs(60)))
        .method(SERVICE, "Unary", None)
        .checked(&methods())
        .unwrap();
    let layer = DeadlineLayer::client(limits.clone()).methods(&methods());
    assert_eq!(sent(&layer, MethodKind::ServerStream).await.as_deref(), Some("60000000u"));
    assert_eq!(sent(&layer, MethodKind::Unary).await, None);
    assert_eq!(sent(&layer, MethodKind::BidiStream).await, None);
    // It needs no kinds.
    let layer = DeadlineLayer::client(limits);
    assert_eq!(sent(&layer, MethodKind::ServerStream).await.as_deref(), Some("60000000u"));
}

#[tokio::test(start_paused = true)]
async fn the_inbound_calls_deadline_less_the_margin_is_sent_for_any_kind() {
    let layer =
        DeadlineLayer::client(secs(5)).methods(&methods()).margin(Duration::from_millis(250));
    for (inbound, sends) in [(3, "2750000u"), (9, "8750000u")] {
        for kind in KINDS {
            let expected = if kind == MethodKind::Unary { sends.min("5000000u") } else { sends };
            let inbound = Deadline::after(secs(inbound));
            let sent = Deadline::scope(inbound, sent(&layer, kind)).await;
            assert_eq!(sent.as_deref(), Some(expected), "{kind}");
            let sent = Deadline::scope(inbound, Deadline::detached(self::sent(&layer, kind))).await;
            let detached = (kind == MethodKind::Unary).then_some("5000000u");
            assert_eq!(sent.as_deref(), detached, "{kind}, detached");
        }
    }
}

#[test]
fn a_rule_for_a_method_that_does_not_exist_is_an_error_that_names_it() {
    let rules = MethodTable::new(None).method(SERVICE, "Unnary", Some(secs(5)));
    let error = rules.checked(&methods()).unwrap_err();
    assert_eq!(error.rule(), "test.v1.Kinds/Unnary");
    assert!(error.to_string().contains("did you mean \"test.v1.Kinds/Unary\"?"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_default_without_kinds_limits_nothing_and_is_warned_about_once() {
    let lines = Lines::default();
    let collecting = lines.collect();
    let layer = DeadlineLayer::client(secs(5));
    let channel = layer.layer(tower::util::BoxCloneService::new(echo()));
    for kind in KINDS {
        let response = channel.clone().oneshot(to_kind(kind)).await.unwrap();
        assert_eq!(response.headers().get("grpc-timeout"), None, "{kind}");
    }
    drop(collecting);
    let text = lines.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(text.contains("DeadlineLayer::client(..).methods(..)"), "{text}");

    let lines = Lines::default();
    let collecting = lines.collect();
    let of_method = MethodTable::new(None).method(SERVICE, "Unary", Some(secs(5)));
    for layer in [
        DeadlineLayer::client(None),
        DeadlineLayer::client(secs(5)).methods(&methods()),
        DeadlineLayer::client(of_method),
    ] {
        sent(&layer, MethodKind::Unary).await;
    }
    drop(collecting);
    assert_eq!(lines.text().matches("WARN").count(), 0, "{}", lines.text());
}

#[tokio::test(start_paused = true)]
async fn a_layer_for_clients_on_a_server_is_warned_about_once() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let mut service = DeadlineLayer::client(None).layer(tower::util::BoxCloneService::new(echo()));
    for _ in 0..3 {
        let mut received = to_kind(MethodKind::Unary);
        let address = Some(SocketAddr::from(([192, 0, 2, 7], 50_000)));
        let peer = TcpConnectInfo { local_addr: None, remote_addr: address };
        received.extensions_mut().insert(peer);
        service.call(received).await.unwrap();
    }
    let text = lines.text();
    assert_eq!(text.matches("WARN").count(), 1, "{text}");
    assert!(text.contains("DeadlineLayer"), "{text}");
}

/// How long a server lets a call take whose handler never answers; the error is the answer of a call that it refuses.
async fn allowed(
    layer: &DeadlineLayer,
    path: &str,
    timeout: Option<&str>,
) -> Result<Duration, Code> {
    let hangs = |_: Request<tonic::body::Body>| async {
        std::future::pending::<Result<Response<Script>, Infallible>>().await
    };
    let began = tokio::time::Instant::now();
    let headers: Vec<_> = timeout.into_iter().map(|timeout| ("grpc-timeout", timeout)).collect();
    let request = with(to(path), &headers);
    let call = layer.layer(service_fn(hangs)).oneshot(request);
    let Ok(response) = tokio::time::timeout(secs(1_000), call).await else {
        return Ok(Duration::MAX);
    };
    let code = response.unwrap().headers()["grpc-status"].clone();
    match (Code::from_bytes(code.as_bytes()), began.elapsed()) {
        (Code::DeadlineExceeded, took) => Ok(secs(took.as_secs())),
        (code, _) => Err(code),
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_limits_may_differ_by_method_and_service() {
    let layer = DeadlineLayer::server()
        .methods(&methods())
        .default(MethodTable::new(Some(secs(1))).service(SERVICE, Some(secs(2))))
        .cap(
            MethodTable::new(Some(secs(30)))
                .method(SERVICE, "Unary", Some(secs(20)))
                .method(SERVICE, "Peek", None),
        )
        .stream_default(MethodTable::new(None).method(SERVICE, "ClientStream", Some(secs(40))))
        .stream_cap(MethodTable::new(Some(secs(50))).method(SERVICE, "BidiStream", None));
    for (method, timeout, expected) in [
        ("Unary", None, secs(2)),
        ("Unary", Some("10S"), secs(10)),
        ("Unary", Some("25S"), secs(20)),
        ("Peek", None, secs(2)),
        ("Peek", Some("90S"), secs(90)),
        ("ClientStream", None, secs(40)),
        ("ClientStream", Some("45S"), secs(45)),
        ("ClientStream", Some("90S"), secs(50)),
        ("ServerStream", None, secs(50)),
        ("BidiStream", None, Duration::MAX),
        // Not in the descriptor set: the limits of unary methods, by the same rules.
        ("Other", None, secs(2)),
    ] {
        let path = format!("/{SERVICE}/{method}");
        assert_eq!(allowed(&layer, &path, timeout).await, Ok(expected), "{method} {timeout:?}");
    }
    assert_eq!(allowed(&layer, "/other.v1.Service/Get", None).await, Ok(secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_servers_limits_are_none_unless_they_are_set() {
    for kind in KINDS {
        let path = format!("/{}", method_of(kind));
        for layer in [DeadlineLayer::server(), DeadlineLayer::server().methods(&methods())] {
            assert_eq!(allowed(&layer, &path, None).await, Ok(Duration::MAX), "{kind}");
            assert_eq!(allowed(&layer, &path, Some("3S")).await, Ok(secs(3)), "{kind}");
        }
        let none = DeadlineLayer::server().default(None).cap(None).stream_cap(None).stall(None);
        assert_eq!(allowed(&none, &path, None).await, Ok(Duration::MAX), "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_required_of_one_method_or_of_all_but_some() {
    const HEALTH: &str = "grpc.health.v1.Health";
    let one = MethodTable::new(false).method(SERVICE, "Unary", true);
    let all_but = MethodTable::new(true).method(SERVICE, "Peek", false);
    let health_too = MethodTable::new(true).service(HEALTH, true);
    for (required, path, refused) in [
        (one.clone(), "/test.v1.Kinds/Unary", true),
        (one.clone(), "/test.v1.Kinds/Peek", false),
        (all_but.clone(), "/test.v1.Kinds/Unary", true),
        (all_but.clone(), "/test.v1.Kinds/Peek", false),
        (all_but, "/grpc.health.v1.Health/Check", false),
        (health_too, "/grpc.health.v1.Health/Check", true),
        (true.into(), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false),
    ] {
        let layer = DeadlineLayer::server().required(required);
        let expected = if refused { Err(Code::InvalidArgument) } else { Ok(Duration::MAX) };
        assert_eq!(allowed(&layer, path, None).await, expected, "{path}");
        assert_eq!(allowed(&layer, path, Some("3S")).await, Ok(secs(3)), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_read_nothing_for_as_long_as_the_methods_rule_allows() {
    let limits = MethodTable::new(Some(secs(10)))
        .method(SERVICE, "ServerStream", Some(secs(20)))
        .method(SERVICE, "ClientStream", None);
    let layer = DeadlineLayer::server().stall(limits);
    for (kind, limit) in [
        (MethodKind::BidiStream, Some(10)),
        (MethodKind::ServerStream, Some(20)),
        (MethodKind::ClientStream, None),
    ] {
        let streams = |_: Request<tonic::body::Body>| async {
            Ok::<_, Infallible>(Script::new().messages(3).stall().respond())
        };
        let response = layer.layer(service_fn(streams)).oneshot(to_kind(kind)).await.unwrap();
        let mut body = response.into_body();
        assert!(frame(&mut body).await.is_data(), "{kind}");
        tokio::time::sleep(secs(limit.unwrap_or(1_000) - 1)).await;
        assert!(frame(&mut body).await.is_data(), "{kind}: in time");
        tokio::time::sleep(secs(limit.unwrap_or(1_000) + 1)).await;
        let last = frame(&mut body).await;
        assert_eq!(last.is_trailers(), limit.is_some(), "{kind}");
        if let Some(limit) = limit {
            let trailers = last.into_trailers().unwrap();
            assert_eq!(trailers["grpc-status"], "4", "{kind}");
            let message = format!("the%20caller%20has%20read%20nothing%20for%20{limit}s");
            assert_eq!(trailers["grpc-message"], message.as_str(), "{kind}");
        }
    }
}
