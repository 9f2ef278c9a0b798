//! Metrics of TLS.

use std::time::SystemTime;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use tonic_tls_reload::{HandshakeFailure, ReloadEvent, ReloadResult};

const NOT_AFTER: &str = "tls_certificate_not_after_timestamp_seconds";
const RELOADS: &str = "tls_reloads_total";
const HANDSHAKE_FAILURES: &str = "tls_handshake_failures_total";

const FAILURES: [HandshakeFailure; 5] = [
    HandshakeFailure::Certificate,
    HandshakeFailure::Expired,
    HandshakeFailure::Protocol,
    HandshakeFailure::Connection,
    HandshakeFailure::Timeout,
];

/// Describes the metrics, and sets the counters to 0.
pub(super) fn describe() {
    describe_gauge!(
        NOT_AFTER,
        Unit::Seconds,
        "When the certificate in use expires, in seconds since 1970."
    );
    describe_counter!(
        RELOADS,
        "Changed TLS files: renewed if they are used, refused if they are not good."
    );
    describe_counter!(HANDSHAKE_FAILURES, "TLS handshakes that failed, by reason.");
    for result in [ReloadResult::Renewed, ReloadResult::Refused] {
        counter!(RELOADS, "result" => result.as_str()).increment(0);
    }
    for failure in FAILURES {
        counter!(HANDSHAKE_FAILURES, "reason" => failure.as_str()).increment(0);
    }
}

/// Sets when the certificate in use expires.
pub(super) fn set_not_after(not_after: SystemTime) {
    if let Ok(since) = not_after.duration_since(SystemTime::UNIX_EPOCH) {
        gauge!(NOT_AFTER).set(since.as_secs_f64());
    }
}

/// Counts changed files.
pub(super) fn reloaded(event: &ReloadEvent<'_>) {
    counter!(RELOADS, "result" => event.result.as_str()).increment(1);
}

/// Counts a handshake that has failed.
pub(super) fn failed(failure: HandshakeFailure) {
    counter!(HANDSHAKE_FAILURES, "reason" => failure.as_str()).increment(1);
}
