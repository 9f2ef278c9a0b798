//! The rows of the tables.

use serde::Serialize;
use tonic_call::observe;
use tower::ServiceBuilder;
use tower::layer::util::Identity;

use super::setup::Setup;
use super::subscriber::Subscriber;
use crate::server::Server;
use crate::subject::Subject;

/// The name of the row without layers.
pub(super) const BARE: &str = "bare";
/// The name of the row that the stacks are compared with.
pub(super) const PEERS: &str = "all six peers";

/// The name of the row with all six layers that the stack grows to.
pub(super) const FIRST: &str = "full, JSON of tracing-subscriber";

/// What is measured in a worker.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) group: Group,
    /// The name of the row that it is compared with.
    pub(super) beside: &'static str,
    pub(super) subscriber: Subscriber,
    /// The service in process.
    pub(super) subject: fn(&Setup) -> Subject,
    /// The same over loopback.
    pub(super) server: fn(&Setup) -> Server,
}

/// The rows that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Group {
    /// The service without layers.
    Bare,
    /// One layer.
    Layer,
    /// All six layers, or all but one.
    Stack,
    /// One of the crates that one would use instead.
    Peer,
    /// All six of them.
    Peers,
    /// The first layers of the stack. Only its time in process is measured.
    Part,
}

impl Row {
    /// Whether it is measured around a handler that works, too.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.group, Group::Stack | Group::Peers)
    }

    /// Whether it stores something for each method that is called.
    pub(super) fn keeps_methods(&self) -> bool {
        [self.name, self.beside].contains(&PROMETHEUS)
    }

    /// Whether it stores something for each caller.
    pub(super) fn keeps_keys(&self) -> bool {
        [self.name, self.beside].contains(&GOVERNOR)
    }

    /// Whether it consists of the crates that one would use instead.
    pub(super) fn is_of_peers(&self) -> bool {
        matches!(self.group, Group::Peer | Group::Peers)
    }

    /// Whether it is measured over loopback.
    pub(super) fn is_served(&self) -> bool {
        self.group != Group::Part
    }
}

/// A row whose layers are an expression of its setup, outermost first.
macro_rules! row {
    ($group:ident, $name:expr, $beside:expr, $subscriber:ident, |$setup:ident| $($layer:expr),+ $(,)?) => {
        Row {
            name: $name,
            group: Group::$group,
            beside: $beside,
            subscriber: Subscriber::$subscriber,
            subject: |$setup| {
                let layers = ServiceBuilder::new()$(.layer($layer))+;
                Subject::new($name, layers.into_inner()).authorized($setup.token())
            },
            server: |$setup| {
                let layers = ServiceBuilder::new()$(.layer($layer))+;
                Server::new($name, layers.into_inner())
            },
        }
    };
}

const CATCH_PANIC: &str = "tower-http catch-panic";
const TRACE: &str = "tower-http trace for gRPC, JSON lines";
const OTEL: &str = "tonic-tracing-opentelemetry";
const PROMETHEUS: &str = "tonic_prometheus_layer";
const INTERCEPTOR: &str = "an interceptor with jsonwebtoken, HS256";
const GOVERNOR: &str = "tower_governor, by address";

/// All rows, the bare service first.
#[rustfmt::skip]
pub(super) fn all() -> Vec<Row> {
    [vec![row!(Bare, BARE, "", Nobody, |_s| Identity::new())], layers(), stacks(), peers(), parts()]
        .into_iter()
        .flatten()
        .collect()
}

/// Each layer alone.
#[rustfmt::skip]
fn layers() -> Vec<Row> {
    vec![
        row!(Layer, "recovery", CATCH_PANIC, Nobody, |s| s.recovery()),
        row!(Layer, "logging, JSON lines", TRACE, Json, |s| s.logging()),
        row!(Layer, "tracing", OTEL, Nobody, |s| s.tracing()),
        row!(Layer, "metrics", PROMETHEUS, Nobody, |s| s.metrics()),
        row!(Layer, "auth, HS256, a known token", INTERCEPTOR, Nobody, |s| s.auth()),
        row!(Layer, "ratelimit, by address", GOVERNOR, Nobody, |s| s.ratelimit()),
    ]
}

/// All six layers, in the order that the documentation suggests.
#[rustfmt::skip]
fn stacks() -> Vec<Row> {
    vec![
        row!(
            Stack, FIRST, PEERS, Json,
            |s| s.tracing(), s.metrics(), s.logging(), s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, our JSON", PEERS, OurJson,
            |s| s.tracing(), s.metrics(), s.logging(), s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, our JSON, no handler span", PEERS, OurJson,
            |s| s.tracing(), s.metrics(), s.logging().handler_span(false), s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, own lines", PEERS, OurJson,
            |s| s.tracing(), s.metrics(), s.own_lines(), s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, own lines, no handler span", PEERS, OurJson,
            |s| s.tracing(), s.metrics(), s.own_lines().handler_span(false), s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, own lines, no handler span, one pass", PEERS, OurJson,
            |s| observe![s.tracing(), s.metrics(), s.own_lines().handler_span(false)].expect("they watch the same side"),
            s.recovery(), s.ratelimit(), s.auth()
        ),
        row!(
            Stack, "full, without logging", PEERS, Nobody,
            |s| s.tracing(), s.metrics(), s.recovery(), s.ratelimit(), s.auth()
        ),
    ]
}

/// The crates that one would use instead.
#[rustfmt::skip]
fn peers() -> Vec<Row> {
    vec![
        row!(Peer, CATCH_PANIC, "recovery", Nobody, |s| s.catch_panic()),
        row!(Peer, TRACE, "logging", Json, |s| s.trace()),
        row!(Peer, OTEL, "tracing", Spans, |s| s.tonic_tracing_opentelemetry()),
        row!(Peer, PROMETHEUS, "metrics", Nobody, |s| s.tonic_prometheus()),
        row!(Peer, INTERCEPTOR, "auth", Nobody, |s| s.interceptor()),
        row!(Peer, GOVERNOR, "ratelimit", Nobody, |s| s.governor()),
        // tower_governor needs the body of tonic, so it stands next to the service.
        row!(
            Peers, PEERS, PEERS, JsonAndSpans,
            |s| s.tonic_tracing_opentelemetry(), s.tonic_prometheus(), s.trace(), s.catch_panic(), s.interceptor(), s.governor()
        ),
    ]
}

/// The stack as it grows, from the service outwards.
#[rustfmt::skip]
fn parts() -> Vec<Row> {
    vec![
        row!(Part, "1 layer: auth", PEERS, Json, |s| s.auth()),
        row!(Part, "2 layers: and ratelimit", PEERS, Json, |s| s.ratelimit(), s.auth()),
        row!(Part, "3 layers: and recovery", PEERS, Json, |s| s.recovery(), s.ratelimit(), s.auth()),
        row!(Part, "4 layers: and metrics", PEERS, Json, |s| s.metrics(), s.recovery(), s.ratelimit(), s.auth()),
        row!(Part, "5 layers: and tracing", PEERS, Json, |s| s.tracing(), s.metrics(), s.recovery(), s.ratelimit(), s.auth()),
    ]
}

/// The row with this name.
pub(super) fn named(name: &str) -> Option<Row> {
    all().into_iter().find(|row| row.name == name)
}
