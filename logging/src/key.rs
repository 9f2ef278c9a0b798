//! The keys of a line.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The keys of every event, beside those that a layer declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Message,
    System,
    Method,
    StatusCode,
    Component,
    MethodType,
    DurationMs,
    RequestMessages,
    RequestBytes,
    ResponseMessages,
    ResponseBytes,
    PeerAddress,
    PeerPort,
    TimeoutMs,
    UserAgent,
    EndUser,
    StatusMessage,
    EndedBy,
    RefusedBy,
    RefusedReason,
    RequestId,
    TraceId,
    SpanId,
    Fields,
}

impl Key {
    /// As they are written, in the order of the variants.
    pub(crate) const NAMES: [&'static str; 24] = [
        "message",
        "rpc.system.name",
        "rpc.method",
        "rpc.response.status_code",
        "grpc.component",
        "grpc.method_type",
        "duration_ms",
        "grpc.request.messages",
        "grpc.request.bytes",
        "grpc.response.messages",
        "grpc.response.bytes",
        "network.peer.address",
        "network.peer.port",
        "grpc.timeout_ms",
        "user_agent.original",
        "enduser.id",
        "grpc.status_message",
        "grpc.ended_by",
        "grpc.refused_by",
        "grpc.refused_reason",
        "request_id",
        "trace_id",
        "span_id",
        "fields",
    ];
}

/// What formatters write beside an event's own keys, at the top level of a flattened JSON line: a
/// second key of that name would not be valid there.
const OF_FORMATTERS: [&str; 9] = [
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

/// What the layers of this workspace [add](tonic_call::CallInfo::add_field) to calls: each has a key of its
/// own, declared or not.
pub(crate) const OF_LAYERS: [&str; 7] = [
    "auth.check",
    "auth.expected",
    "auth.received",
    "ratelimit.limit",
    "ratelimit.key",
    "ratelimit.wait_ms",
    "ratelimit.shadow",
];

/// What stands before the names of metadata.
pub(crate) const REQUEST_METADATA: &str = "rpc.request.metadata.";
/// As [`REQUEST_METADATA`].
pub(crate) const RESPONSE_METADATA: &str = "rpc.response.metadata.";

/// A key under which no field can be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It has a meaning of its own in every line, or formatters write it beside them.
    Taken(String),
    /// It is not made of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`, `.` and `/`.
    Malformed(String),
}

/// These keys, each once, if none is taken.
pub(crate) fn declared<K: Into<String>>(
    keys: impl IntoIterator<Item = K>,
) -> Result<Vec<&'static str>, KeyError> {
    let mut declared = Vec::new();
    for key in keys {
        let key = key.into();
        let is_taken = Key::NAMES.contains(&&*key)
            || OF_FORMATTERS.contains(&&*key)
            // `tracing-subscriber` keeps these for records of `log`, and leaves them out.
            || key.starts_with("log.")
            || key.starts_with(REQUEST_METADATA)
            || key.starts_with(RESPONSE_METADATA);
        if is_taken {
            return Err(KeyError::Taken(key));
        }
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        if key.is_empty() || !key.bytes().all(is_good) {
            return Err(KeyError::Malformed(key));
        }
        let key = kept(key);
        if !declared.contains(&key) {
            declared.push(key);
        }
    }
    Ok(declared)
}

/// A key for ever: `tracing` asks for that. Each is kept once, however often layers are built.
pub(crate) fn kept(key: String) -> &'static str {
    static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(&*key) {
        return known;
    }
    let key: &'static str = key.leak();
    all.insert(key);
    key
}

impl KeyError {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Taken(key) | Self::Malformed(key) => key,
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(key) => {
                write!(f, "the key {key:?} of a log line has a meaning already: declare another")
            }
            Self::Malformed(key) => {
                write!(f, "{key:?} is no key of a log line: letters, digits and _ - . / make one")
            }
        }
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_declared_once_and_only_if_it_is_free() {
        assert_eq!(declared(["a", "b", "a"]), Ok(vec!["a", "b"]));
        for taken in ["rpc.method", "level", "log.line", "rpc.request.metadata.x-tenant"] {
            let error = declared(["a", taken]).expect_err(taken);
            assert_eq!(error.key(), taken);
            assert!(error.to_string().contains(taken));
        }
        for malformed in ["", "two words", "a\nb", "a=b", "ä"] {
            let malformed = malformed.to_owned();
            assert_eq!(declared([malformed.clone()]), Err(KeyError::Malformed(malformed)));
        }
    }

    #[test]
    fn each_key_stands_at_its_place() {
        for (key, name) in [
            (Key::Message, "message"),
            (Key::StatusCode, "rpc.response.status_code"),
            (Key::ResponseBytes, "grpc.response.bytes"),
            (Key::EndedBy, "grpc.ended_by"),
            (Key::Fields, "fields"),
        ] {
            assert_eq!(Key::NAMES[key as usize], name);
        }
        assert_eq!(Key::Fields as usize + 1, Key::NAMES.len());
    }
}
