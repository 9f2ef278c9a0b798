//! The names of spans and attributes.

use std::borrow::Cow;

use opentelemetry::logs::Severity;
use opentelemetry::{KeyValue, Value};
use tonic::Code;
use tonic_call::{Peer, Protocol, Rpc, Side};

/// The version of OpenTelemetry's semantic conventions for gRPC and Connect that spans follow.
///
/// The default comes from the environment variable `OTEL_SEMCONV_STABILITY_OPT_IN`, a comma-separated list,
/// when the layer is built: `rpc/dup` means [`OldAndReleased`](Self::OldAndReleased), else `rpc` means
/// [`Released`](Self::Released), else `rpc/old` means [`Old`](Self::Old).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conventions {
    /// Version 1.37 and earlier: `rpc.system`, `rpc.service`, `rpc.method` without the service, the code as a
    /// number in `rpc.grpc.status_code` (the error of a Connect call by name in `rpc.connect_rpc.error_code`), and
    /// the peer also as `client.address`.
    Old,
    /// Versions 1.39 to 1.44: `rpc.system.name`, the full `rpc.method`, the name of the code in
    /// `rpc.response.status_code`, and `error.type`.
    #[default]
    Released,
    /// Versions after 1.44: like `Released`, but the code is in `rpc.status_code`.
    Next,
    /// Both `Old` and `Released`, for a migration. `rpc.method`, which both have, is the released one.
    OldAndReleased,
}

/// What is known about a method when its span is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The service has it.
    Known,
    /// Decided at the end of the call.
    Pending,
    /// The service does not have it.
    Other,
}

const OPT_IN: &str = "OTEL_SEMCONV_STABILITY_OPT_IN";

const OTHER: &str = "_OTHER";

mod key {
    pub(super) const SYSTEM: &str = "rpc.system.name";
    pub(super) const METHOD: &str = "rpc.method";
    pub(super) const METHOD_ORIGINAL: &str = "rpc.method_original";
    pub(super) const RELEASED_STATUS: &str = "rpc.response.status_code";
    pub(super) const NEXT_STATUS: &str = "rpc.status_code";
    pub(super) const ERROR_TYPE: &str = "error.type";
    pub(super) const SERVER_ADDRESS: &str = "server.address";
    pub(super) const SERVER_PORT: &str = "server.port";
    pub(super) const PEER_ADDRESS: &str = "network.peer.address";
    pub(super) const PEER_PORT: &str = "network.peer.port";

    pub(super) const OLD_SYSTEM: &str = "rpc.system";
    pub(super) const OLD_SERVICE: &str = "rpc.service";
    pub(super) const OLD_STATUS: &str = "rpc.grpc.status_code";
    pub(super) const OLD_CONNECT_ERROR: &str = "rpc.connect_rpc.error_code";
    pub(super) const OLD_CLIENT_ADDRESS: &str = "client.address";
    pub(super) const OLD_CLIENT_PORT: &str = "client.port";
    pub(super) const OLD_TRANSPORT: &str = "network.transport";
    pub(super) const OLD_TYPE: &str = "network.type";

    /// Defined by gRPC (proposal A72): OpenTelemetry has no attribute for it.
    pub(super) const PREVIOUS_ATTEMPTS: &str = "previous-rpc-attempts";
}

/// The keys of exceptions, on spans and in logs (semantic conventions, "Exceptions in RPC").
pub(crate) mod exception {
    pub(crate) const EVENT: &str = "exception";
    pub(crate) const TYPE: &str = "exception.type";
    pub(crate) const MESSAGE: &str = "exception.message";
    pub(crate) const STACKTRACE: &str = "exception.stacktrace";
}

/// The event name and the severity of an exception in the log.
pub(crate) fn exception_of(side: Side) -> (&'static str, Severity) {
    match side {
        Side::Server => ("rpc.server.call.exception", Severity::Error),
        Side::Client => ("rpc.client.call.exception", Severity::Warn),
    }
}

impl Conventions {
    /// The conventions that the environment selects; [`Released`](Self::Released) if it selects none.
    pub fn from_env() -> Self {
        std::env::var(OPT_IN).map_or(Self::default(), |list| Self::from_list(&list))
    }

    fn from_list(list: &str) -> Self {
        let has = |word| list.split(',').any(|item| item.trim() == word);
        match () {
            () if has("rpc/dup") => Self::OldAndReleased,
            () if has("rpc") => Self::Released,
            () if has("rpc/old") => Self::Old,
            () => Self::default(),
        }
    }

    pub(crate) fn schema_url(self) -> Option<&'static str> {
        match self {
            Self::Old => Some("https://opentelemetry.io/schemas/1.37.0"),
            Self::Released => Some("https://opentelemetry.io/schemas/1.44.0"),
            Self::Next | Self::OldAndReleased => None,
        }
    }

    /// Whether exceptions are events of the span; since 1.40 they are log records.
    pub(crate) fn has_exceptions_on_spans(self) -> bool {
        self.is_old()
    }

    pub(crate) fn is_old(self) -> bool {
        matches!(self, Self::Old | Self::OldAndReleased)
    }

    /// The key for the name of the code, if there is one.
    fn status(self) -> Option<&'static str> {
        match self {
            Self::Old => None,
            Self::Released | Self::OldAndReleased => Some(key::RELEASED_STATUS),
            Self::Next => Some(key::NEXT_STATUS),
        }
    }

    pub(crate) fn is_new(self) -> bool {
        self.status().is_some()
    }

    /// The name of a call's span.
    pub(crate) fn name(self, rpc: &Rpc, naming: Naming, protocol: Protocol) -> Cow<'static, str> {
        match naming {
            Naming::Known | Naming::Pending => text(rpc.static_name(), rpc.full()),
            Naming::Other if self.is_new() => protocol.system_name().into(),
            Naming::Other => old_system_name(protocol).into(),
        }
    }

    /// The attributes at the start of a span, which a sampler sees.
    pub(crate) fn begin(
        self,
        rpc: &Rpc,
        naming: Naming,
        protocol: Protocol,
        server: Option<(Value, Option<u16>)>,
    ) -> Vec<KeyValue> {
        let mut attributes = Vec::with_capacity(self.most_attributes());
        if self.is_old() {
            attributes.push(KeyValue::new(key::OLD_SYSTEM, old_system_name(protocol)));
        }
        if self.is_new() {
            attributes.push(KeyValue::new(key::SYSTEM, protocol.system_name()));
        }
        if naming != Naming::Pending {
            self.method(rpc, naming, &mut attributes);
        }
        if let Some((address, port)) = server {
            attributes.push(KeyValue::new(key::SERVER_ADDRESS, address));
            if let Some(port) = port {
                attributes.push(KeyValue::new(key::SERVER_PORT, i64::from(port)));
            }
        }
        attributes
    }

    /// The largest number of attributes that a span has at its end, without metadata. The SDK adds the later ones to
    /// the `Vec` that it gets first.
    fn most_attributes(self) -> usize {
        match self {
            // System, method, server (2), peer (2), attempts, status, and the type of the error.
            Self::Released | Self::Next => 9,
            // System, service, method, server (2), peer (6), attempts, and status.
            Self::Old => 13,
            Self::OldAndReleased => 16,
        }
    }

    /// The attributes of the method, once it is decided.
    pub(crate) fn method(self, rpc: &Rpc, naming: Naming, attributes: &mut Vec<KeyValue>) {
        if naming == Naming::Other {
            if self.is_new() {
                attributes.push(KeyValue::new(key::METHOD, OTHER));
            }
            return;
        }
        let known = rpc.static_name();
        if self.is_old() {
            let service = known.map(|full| &full[..rpc.service().len()]);
            attributes.push(KeyValue::new(key::OLD_SERVICE, text(service, rpc.service())));
        }
        let method = if self.is_new() {
            text(known, rpc.full())
        } else {
            text(known.map(|full| &full[full.len() - rpc.method().len()..]), rpc.method())
        };
        attributes.push(KeyValue::new(key::METHOD, method));
    }

    /// The caller's path, if `rpc.method` does not contain it.
    pub(crate) fn original(self, rpc: &Rpc, naming: Naming) -> Option<KeyValue> {
        (naming == Naming::Other && self.is_new())
            .then(|| KeyValue::new(key::METHOD_ORIGINAL, rpc.shown().into_owned()))
    }

    /// The remote end of a server's connection.
    pub(crate) fn peer(self, peer: &Peer, add: &mut impl FnMut(KeyValue)) {
        let mut both = |old, new, value: Option<Value>| {
            let Some(value) = value else { return };
            if self.is_old() {
                add(KeyValue::new(old, value.clone()));
            }
            add(KeyValue::new(new, value));
        };
        let tcp = peer.socket_addr();
        let address = peer.address().map(|address| address.as_str().to_owned().into());
        both(key::OLD_CLIENT_ADDRESS, key::PEER_ADDRESS, address);
        let port = tcp.map(|address| i64::from(address.port()).into());
        both(key::OLD_CLIENT_PORT, key::PEER_PORT, port);
        if self.is_old() {
            let transport = if tcp.is_some() { "tcp" } else { "unix" };
            add(KeyValue::new(key::OLD_TRANSPORT, transport));
            if let Some(address) = tcp {
                let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
                add(KeyValue::new(key::OLD_TYPE, family));
            }
        }
    }

    /// The number of attempts before this one.
    pub(crate) fn previous_attempts(self, attempts: u32) -> KeyValue {
        KeyValue::new(key::PREVIOUS_ATTEMPTS, i64::from(attempts))
    }

    /// How the call ended.
    pub(crate) fn ended(
        self,
        side: Side,
        protocol: Protocol,
        code: Code,
    ) -> impl Iterator<Item = KeyValue> {
        let old = if self.is_old() { old_status(protocol, code) } else { None };
        let name = protocol.code_name(code);
        let status = self.status();
        let error = status.filter(|_| side.counts_as_failure(code)).map(|_| key::ERROR_TYPE);
        let new = [status, error].into_iter().flatten();
        old.into_iter().chain(new.map(move |key| KeyValue::new(key, name)))
    }
}

/// The name of a method, or a part of it, which is copied only if the method is not known.
fn text(known: Option<&'static str>, text: &str) -> Cow<'static, str> {
    known.map_or_else(|| text.to_owned().into(), Cow::Borrowed)
}

/// The value of `rpc.system`.
fn old_system_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Connect => "connect_rpc",
        protocol => protocol.system_name(),
    }
}

/// The code by the conventions 1.37. Those for Connect have only errors, and spell one unlike Connect itself.
fn old_status(protocol: Protocol, code: Code) -> Option<KeyValue> {
    match (protocol, code) {
        (Protocol::Connect, Code::Ok) => None,
        (Protocol::Connect, Code::Cancelled) => {
            Some(KeyValue::new(key::OLD_CONNECT_ERROR, "cancelled"))
        }
        (Protocol::Connect, code) => {
            Some(KeyValue::new(key::OLD_CONNECT_ERROR, protocol.code_name(code)))
        }
        (_, code) => Some(KeyValue::new(key::OLD_STATUS, i64::from(i32::from(code)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_chooses_the_conventions() {
        for (asked, conventions) in [
            ("", Conventions::Released),
            ("rpc", Conventions::Released),
            ("http,rpc/dup", Conventions::OldAndReleased),
            ("rpc , rpc/dup", Conventions::OldAndReleased),
            ("rpc/old", Conventions::Old),
            ("http/dup, database", Conventions::Released),
        ] {
            assert_eq!(Conventions::from_list(asked), conventions, "{asked}");
        }
    }
}
