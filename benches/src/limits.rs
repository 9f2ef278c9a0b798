//! Limits that no call reaches, and their alternatives.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use http::{Request, Response};
use tonic::body::Body;
use tonic_call::{CallInfo, Peer, Side};
use tonic_ratelimit_layer::{InFlight, Key, Limits, Quota, RateLimitBuilder, RateLimitLayer, Rule};
use tower::{Layer, Service, ServiceBuilder};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::{GlobalKeyExtractor, KeyExtractor};
use tower_governor::{GovernorError, GovernorLayer};

use crate::service::InProcess;
use crate::subject::{Call, Subject};

/// The time until one call is available again. It is long, so that no key expires during a bench.
pub(crate) const EACH: Duration = Duration::from_secs(60);
/// More calls than a bench makes.
pub(crate) const BURST: u32 = 5_000_000;

/// The subjects with a limit, called by one caller.
pub(crate) fn limited() -> Vec<Subject> {
    let known = CallInfo::new(Side::Server);
    known.set_principal("ann");
    let seldom = Duration::from_secs(24 * 3_600);
    let three_peers = ServiceBuilder::new()
        .layer(governor(ByPrincipal, EACH, BURST))
        .layer(governor(ByPeer, EACH, BURST))
        .layer(governor(GlobalKeyExtractor, EACH, BURST));
    vec![
        Subject::new("ratelimit, unlimited", ours(unlimited())),
        Subject::new("ratelimit", ours(plenty())),
        Subject::new("ratelimit by peer", ours(by_peer())),
        Subject::new("ratelimit by principal", ours(by_principal())).known(known.clone()),
        Subject::new("ratelimit, three quotas", ours(three())).known(known.clone()),
        Subject::new("ratelimit, and in flight", ours((plenty(), InFlight::new(BURST)))),
        Subject::new("ratelimit, with fields", built(server(plenty()).fields_on_accepted())),
        refusing("ratelimit, refused", ours(Quota::every(seldom))),
        Subject::new("tower_governor", governor(GlobalKeyExtractor, EACH, BURST)),
        Subject::new("tower_governor by peer", governor(ByPeer, EACH, BURST)),
        Subject::new("tower_governor by principal", governor(ByPrincipal, EACH, BURST))
            .known(known.clone()),
        Subject::new("three tower_governors", three_peers.into_inner()).known(known),
        Subject::new("tower_governor, with fields", governor_with_fields()),
        refusing("tower_governor, refused", governor(GlobalKeyExtractor, seldom, 1)),
    ]
}

/// A quota that no call exceeds.
pub(crate) fn plenty() -> Quota {
    Quota::every(EACH).burst(BURST)
}

fn by_principal() -> Quota {
    plenty().by(Key::principal())
}

pub(crate) fn by_peer() -> Quota {
    plenty().by(Key::peer())
}

pub(crate) fn three() -> Rule {
    [by_principal(), by_peer(), plenty()].into()
}

fn unlimited() -> Limits {
    Limits::of(plenty()).service("test.v1.Kinds", Rule::unlimited())
}

pub(crate) fn server(limits: impl Into<Limits>) -> RateLimitBuilder {
    RateLimitLayer::server(limits)
}

pub(crate) fn ours(limits: impl Into<Limits>) -> RateLimitLayer {
    built(server(limits))
}

pub(crate) fn built(limits: RateLimitBuilder) -> RateLimitLayer {
    limits.build().expect("possible limits")
}

pub(crate) type Governor<K, M = NoOpMiddleware> = GovernorLayer<K, M, Body>;

/// A `tower_governor` layer that allows `burst` calls at once, and one more per `each`.
pub(crate) fn governor<K: KeyExtractor>(by: K, each: Duration, burst: u32) -> Governor<K> {
    let mut config = GovernorConfigBuilder::default();
    let config = config.period(each).burst_size(burst).key_extractor(by).finish();
    GovernorLayer::new(config.expect("a possible quota"))
}

fn governor_with_fields() -> Governor<GlobalKeyExtractor, StateInformationMiddleware> {
    let mut config = GovernorConfigBuilder::default();
    let mut config = config.period(EACH).burst_size(BURST).key_extractor(GlobalKeyExtractor);
    GovernorLayer::new(config.use_headers().finish().expect("a possible quota"))
}

/// A subject that refuses every call after the first.
fn refusing<L, B>(name: &'static str, layer: L) -> Subject
where
    L: Layer<InProcess>,
    L::Service: Service<Request<Body>, Response = Response<B>, Error = Infallible> + 'static,
    B: http_body::Body<Data = Bytes> + 'static,
{
    let mut subject = Subject::new(name, layer);
    subject.call(Call::Unary);
    subject.refused()
}

/// Extracts the peer address that tonic provides. The default key extractor only reads axum's extension, so that
/// each call of a tonic server would be answered with `INTERNAL`.
#[derive(Clone, Debug)]
pub(crate) struct ByPeer;

impl KeyExtractor for ByPeer {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let peer = Peer::of(request.extensions());
        peer.and_then(|peer| peer.ip()).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// Extracts the principal that our authentication layer has set.
#[derive(Clone, Debug)]
struct ByPrincipal;

impl KeyExtractor for ByPrincipal {
    type Key = Arc<str>;

    fn extract<T>(&self, request: &Request<T>) -> Result<Arc<str>, GovernorError> {
        let principal = CallInfo::of(request.extensions()).and_then(CallInfo::principal);
        principal.ok_or(GovernorError::UnableToExtractKey)
    }
}
