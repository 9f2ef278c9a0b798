//! The keys of a line.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Defines the keys together with their names.
macro_rules! keys {
    ($($key:ident = $name:literal,)*) => {
        /// The keys of every event, without extra keys.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Key { $($key,)* }

        impl Key {
            /// The names, in the order of the variants.
            pub(crate) const NAMES: [&'static str; [$($name),*].len()] = [$($name),*];
        }
    };
}

keys! {
    Message = "message",
    System = "rpc.system.name",
    Method = "rpc.method",
    StatusCode = "rpc.response.status_code",
    Component = "grpc.component",
    Protocol = "grpc.protocol",
    MethodType = "grpc.method_type",
    DurationMs = "duration_ms",
    RequestMessages = "grpc.request.messages",
    RequestBytes = "grpc.request.bytes",
    ResponseMessages = "grpc.response.messages",
    ResponseBytes = "grpc.response.bytes",
    PeerAddress = "network.peer.address",
    PeerPort = "network.peer.port",
    TimeoutMs = "grpc.timeout_ms",
    UserAgent = "user_agent.original",
    EndUser = "enduser.id",
    StatusMessage = "grpc.status_message",
    EndedBy = "grpc.ended_by",
    RefusedBy = "grpc.refused_by",
    RefusedReason = "grpc.refused_reason",
    RequestId = "request_id",
    TraceId = "trace_id",
    SpanId = "span_id",
    Fields = "fields",
}

/// The keys that formatters add to an event at the top level of a flattened JSON line. A second key of
/// the same name would make the line invalid.
const FORMATTER_KEYS: [&str; 9] = [
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

/// The fields that the layers of this workspace [add](tonic_call::CallInfo::add_field) to calls. Each has its
/// own key, declared or not.
pub(crate) const LAYER_KEYS: [&str; 7] = [
    "auth.check",
    "auth.expected",
    "auth.received",
    "ratelimit.limit",
    "ratelimit.key",
    "ratelimit.wait_ms",
    "ratelimit.shadow",
];

/// The largest number of extra keys: those of the layers, and forty that the settings add.
pub(crate) const MAX_EXTRA_KEYS: usize = LAYER_KEYS.len() + 40;

/// The prefix of the names of metadata.
pub(crate) const REQUEST_METADATA: &str = "rpc.request.metadata.";
/// As [`REQUEST_METADATA`].
pub(crate) const RESPONSE_METADATA: &str = "rpc.response.metadata.";

/// A key that cannot be declared for a field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The layer itself, or a formatter, uses this key.
    Reserved(String),
    /// The key is empty, or has other characters than `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`, `.` and `/`.
    Malformed(String),
}

/// Checks and deduplicates the keys of declared fields.
pub(crate) fn declare<K: Into<String>>(
    keys: impl IntoIterator<Item = K>,
) -> Result<Vec<&'static str>, KeyError> {
    let mut declared = Vec::new();
    for key in keys {
        let key = key.into();
        let is_reserved = Key::NAMES.contains(&&*key)
            || FORMATTER_KEYS.contains(&&*key)
            // `tracing-subscriber` drops these: it uses them for records of the crate `log`.
            || key.starts_with("log.")
            || key.starts_with(REQUEST_METADATA)
            || key.starts_with(RESPONSE_METADATA);
        if is_reserved {
            return Err(KeyError::Reserved(key));
        }
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        if key.is_empty() || !key.bytes().all(is_allowed) {
            return Err(KeyError::Malformed(key));
        }
        let key = intern(key);
        if !declared.contains(&key) {
            declared.push(key);
        }
    }
    Ok(declared)
}

/// Makes a key `'static`, which `tracing` requires. Each is leaked only once, however many layers are built.
pub(crate) fn intern(key: String) -> &'static str {
    static KEYS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = keys.get(&*key) {
        return known;
    }
    let key: &'static str = key.leak();
    keys.insert(key);
    key
}

impl KeyError {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Reserved(key) | Self::Malformed(key) => key,
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserved(key) => {
                write!(f, "the key {key:?} is reserved in log lines: choose another one")
            }
            Self::Malformed(key) => {
                write!(f, "{key:?} is not a valid key: use ASCII letters, digits, _ - . and /")
            }
        }
    }
}

impl Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_declared_once_and_only_if_it_is_not_reserved() {
        assert_eq!(declare(["a", "b", "a"]), Ok(vec!["a", "b"]));
        for taken in ["rpc.method", "level", "log.line", "rpc.request.metadata.x-tenant"] {
            let error = declare(["a", taken]).expect_err(taken);
            assert_eq!(error.key(), taken);
            assert!(error.to_string().contains(taken));
        }
        for malformed in ["", "two words", "a\nb", "a=b", "ä"] {
            let malformed = malformed.to_owned();
            assert_eq!(declare([malformed.clone()]), Err(KeyError::Malformed(malformed)));
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
