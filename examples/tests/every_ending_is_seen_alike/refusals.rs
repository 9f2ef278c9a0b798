//! Refusals of each layer.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Request;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::{Access, AuthLayer, Identity, Outcome, WallClock, authenticate_fn};
use tonic_call::{CallInfo, MethodKind, Side};
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::{Script, ask, poll_once, read};
use tonic_deadline_layer::DeadlineLayer;
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitLayer};
use tower::{Layer as _, Service as _, service_fn};

use crate::client::{KNOWN, seen_with, shown, status};
use crate::observed::{Layers, Log};
use crate::raw::RawCall;
use crate::server::{AUDIENCE, ISSUER, SECRET, Server, Setup};
use crate::table::{Row, Section};

/// A token that expires after this number of seconds, signed with this secret.
fn token(seconds: i64, secret: &str, audience: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let claims = json!({ "iss": ISSUER, "aud": audience, "sub": "ann", "exp": now + seconds });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes()));
    format!("Bearer {}", token.unwrap())
}

/// A unary call with this metadata.
async fn unary(server: Server<'_>, ending: &str, metadata: &[(&'static str, &str)]) -> Row {
    seen_with(server, ending, MethodKind::Unary, ask(Act::Unspecified, 0), metadata).await
}

/// A call of the method that needs a scope.
async fn peek(server: Server<'_>, ending: &str) -> Row {
    let mut request = tonic::Request::new(ask(Act::Unspecified, 0));
    request.metadata_mut().insert(KNOWN.0, AsciiMetadataValue::from_static(KNOWN.1));
    let refused = server.client().await.peek(request).await.unwrap_err();
    server.row(ending, status(refused.code(), refused.message())).await
}

/// A call to this path by a known caller.
async fn path(server: Server<'_>, ending: &str, path: &str) -> Row {
    let mut call = RawCall::open(&server, path, 65_535, "application/grpc").await;
    call.ask(&ask(Act::Unspecified, 0), true);
    let caller = call.end().await;
    server.row(ending, caller).await
}

fn bearer(token: &str) -> (&'static str, &str) {
    ("authorization", token)
}

async fn auth(log: &Log, layers: Layers) -> Vec<Row> {
    let usual = || Server::usual(log, layers);

    let expired = token(-3_600, SECRET, AUDIENCE);
    let forged = token(3_600, "another secret of thirty-two bytes", AUDIENCE);
    let foreign = token(3_600, SECRET, "another service");
    let good = token(3_600, SECRET, AUDIENCE);
    let unavailable = Setup {
        auth: AuthLayer::new(authenticate_fn(|_| Outcome::unavailable("keys"))),
        ..Setup::new()
    };
    let denying = Setup {
        auth: AuthLayer::new(authenticate_fn(|_| Identity::new("test").with_subject("ann")))
            .default_access(Access::function("weekdays", |_, _| false)),
        ..Setup::new()
    };
    vec![
        unary(usual().await, "auth: a token that is valid", &[bearer(&good)]).await,
        unary(usual().await, "auth: no credentials", &[]).await,
        unary(usual().await, "auth: credentials that are not a token", &[bearer("Bearer a b")])
            .await,
        unary(usual().await, "auth: a token with a wrong signature", &[bearer(&forged)]).await,
        unary(usual().await, "auth: a token for another service", &[bearer(&foreign)]).await,
        unary(usual().await, "auth: a token that has expired", &[bearer(&expired)]).await,
        unary(
            usual().await,
            "auth: an API key that is not known",
            &[("x-api-key", "a-guess-at-a-key-of-thirty-two-b")],
        )
        .await,
        peek(usual().await, "auth: a scope is missing").await,
        unary(
            Server::start(log, layers, denying).await,
            "auth: a function denies access",
            &[KNOWN],
        )
        .await,
        unary(
            Server::start(log, layers, unavailable).await,
            "auth: credentials cannot be verified, since no keys are there",
            &[KNOWN],
        )
        .await,
        path(usual().await, "auth: a method that does not exist", "test.v1.Kinds/Nothing").await,
        path(usual().await, "auth: a path that is no method", "wp-login.php").await,
        expires(log, layers).await,
    ]
}

/// A stream that ends when the caller's credentials expire.
async fn expires(log: &Log, layers: Layers) -> Row {
    let (start, began) = (SystemTime::UNIX_EPOCH, tokio::time::Instant::now());
    let known = authenticate_fn(move |_| {
        Identity::new("test").with_subject("ann").with_expires_at(start + Duration::from_secs(60))
    });
    let auth = AuthLayer::new(known)
        .end_streams_at_expiry()
        .with_clock(WallClock::new(move || start + began.elapsed()));
    let server = Server::start(log, layers, Setup { auth, ..Setup::new() }).await;
    let mut client = server.client().await;
    let mut notes = client.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    tokio::time::advance(Duration::from_secs(61)).await;
    let mut outcome = read(&mut notes).await;
    outcome.notes += 1;
    drop((client, notes));
    server.row("auth: the credentials of a stream's caller expire", shown(&outcome)).await
}

/// A call that runs until this is dropped.
type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A layer whose limit is used up by a call that still runs: it runs until the returned future is dropped.
fn used_up(limit: impl Into<Limits>) -> (RateLimitLayer, Running) {
    let layer = RateLimitLayer::server(limit).build().unwrap();
    let mut request = Request::new(tonic::body::Body::empty());
    let remote_addr = Some(([127, 0, 0, 1], 1).into());
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    info.set_principal("api-key:ann");
    let never = service_fn(|_| pending::<Result<http::Response<Script>, Infallible>>());
    let mut service = layer.layer(never);
    let mut running = Box::pin(async move { _ = service.call(request).await });
    assert!(poll_once(running.as_mut()).is_pending());
    (layer, running)
}

async fn limits(log: &Log, layers: Layers) -> Vec<Row> {
    let hourly = || Quota::every(Duration::from_secs(3_600));
    let one = || InFlight::new(1);
    let mut rows = Vec::new();
    for (ending, (before_auth, _running)) in [
        ("ratelimit: over the quota of the server", used_up(hourly())),
        ("ratelimit: over the quota of an address", used_up(hourly().by(Key::peer()))),
        ("ratelimit: the server runs too many calls at a time", used_up(one())),
    ] {
        let setup = Setup { before_auth, ..Setup::new() };
        rows.push(unary(Server::start(log, layers, setup).await, ending, &[]).await);
    }
    for (ending, (after_auth, _running)) in [
        ("ratelimit: over the quota of a caller", used_up(hourly().by(Key::principal()))),
        ("ratelimit: a caller runs too many calls at a time", used_up(one().by(Key::principal()))),
        (
            "ratelimit: over a quota in shadow mode, which refuses nothing",
            used_up(hourly().by(Key::principal()).shadow()),
        ),
    ] {
        let setup = Setup { after_auth, ..Setup::new() };
        rows.push(unary(Server::start(log, layers, setup).await, ending, &[KNOWN]).await);
    }
    rows
}

pub(crate) async fn section(log: &Log, layers: Layers) -> Section {
    let mut rows = auth(log, layers).await;
    rows.extend(limits(log, layers).await);
    let required = Setup { deadlines: DeadlineLayer::server().required(true), ..Setup::new() };
    let required = Server::start(log, layers, required).await;
    rows.push(
        unary(required, "deadline: a caller without the deadline that is required", &[KNOWN]).await,
    );
    for (ending, timeout) in [
        ("deadline: `grpc-timeout` is malformed", "soon"),
        ("deadline: `grpc-timeout` has passed on arrival", "0S"),
    ] {
        let server = Server::usual(log, layers).await;
        let request = Request::post("http://localhost/test.v1.Kinds/Unary")
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", timeout)
            .header(KNOWN.0, KNOWN.1);
        let mut call = RawCall::send(&server, 65_535, request).await;
        call.ask(&ask(Act::Unspecified, 0), true);
        let caller = call.end().await;
        rows.push(server.row(ending, caller).await);
    }
    Section {
        title: "Refusals of the layers",
        about: "The caller learns a reason from a fixed set. The operator's log line has the same reason.",
        rows,
    }
}
