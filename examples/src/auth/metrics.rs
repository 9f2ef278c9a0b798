//! Metrics of authentication. Neither the caller nor the key is ever a label.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use tonic_auth_layer::Jwt;
use tonic_auth_layer::jwt::{FetchResult, KeysEvent};
use tonic_auth_layer::{Decision, Reason, Verdict};

const DECISIONS: &str = "auth_decisions_total";
const FETCHES: &str = "auth_jwks_fetches_total";
const FETCHED: &str = "auth_jwks_fetched_timestamp_seconds";
const READY: &str = "auth_jwks_ready";
const KEYS: &str = "auth_jwks_keys";
const COOL_DOWN: &str = "auth_jwks_cool_down_seconds";
const UNKNOWN_KIDS: &str = "auth_jwks_unknown_kids_total";

/// The result of a stream that was ended because its token expired.
const ENDED: &str = "ended";

/// Describes the metrics and sets counters to 0: `rate()` misses the first increment of a series that begins
/// with it.
pub(super) fn describe() {
    describe_counter!(DECISIONS, "Calls that were authorized or refused.");
    describe_counter!(FETCHES, "Fetches of the issuer's keys.");
    describe_gauge!(
        FETCHED,
        Unit::Seconds,
        "Time of the last successful fetch of the issuer's keys."
    );
    describe_gauge!(
        READY,
        "1 while tokens can be verified: there are keys, and they are not too old."
    );
    describe_gauge!(KEYS, "Number of the issuer's keys that can verify tokens.");
    describe_gauge!(
        COOL_DOWN,
        Unit::Seconds,
        "Time until an unknown key may start the next fetch."
    );
    describe_counter!(UNKNOWN_KIDS, "Tokens with a key id that the issuer does not have.");
    let refusals = [
        Reason::CredentialsMissing,
        Reason::CredentialsMalformed,
        Reason::TokenInvalid,
        Reason::TokenExpired,
        Reason::ScopeInsufficient,
        Reason::AccessDenied,
        Reason::MethodUnknown,
        Reason::VerifierUnavailable,
        Reason::RateLimited,
    ];
    for result in refusals.map(Reason::as_str).into_iter().chain(["passed", "public", ENDED]) {
        for cached in [false, true] {
            count_decision(result, cached, 0);
        }
    }
    for result in [
        FetchResult::Ok,
        FetchResult::Unreachable,
        FetchResult::Timeout,
        FetchResult::Status,
        FetchResult::TooLarge,
        FetchResult::Malformed,
        FetchResult::Empty,
        FetchResult::WrongIssuer,
        FetchResult::Refused,
    ] {
        counter!(FETCHES, "result" => result.as_str()).increment(0);
    }
}

pub(super) fn decision(decision: &Decision<'_>) {
    let result = match decision.verdict() {
        // The call was counted as `passed` when it began.
        Verdict::Ended => ENDED,
        _ => decision.result(),
    };
    count_decision(result, decision.is_cached(), 1);
}

fn count_decision(result: &'static str, cached: bool, times: u64) {
    let cached = if cached { "true" } else { "false" };
    counter!(DECISIONS, "result" => result, "cached" => cached).increment(times);
}

pub(super) fn fetched(event: &KeysEvent<'_>) {
    counter!(FETCHES, "result" => event.result.as_str()).increment(1);
    // A timestamp: an age would not grow between two fetches.
    let fetched = event.age.and_then(|age| SystemTime::now().checked_sub(age));
    let since = fetched.and_then(|fetched| fetched.duration_since(UNIX_EPOCH).ok());
    if let Some(since) = since {
        gauge!(FETCHED).set(since.as_secs_f64());
    }
}

/// Sets the gauges of the issuer's keys.
pub(super) fn set_keys(jwt: &Jwt) {
    gauge!(READY).set(if jwt.is_ready() { 1.0 } else { 0.0 });
    let status = jwt.keys_status();
    // The development key is not fetched: there is nothing to report.
    if status.is_empty() {
        return;
    }
    gauge!(KEYS).set(status.iter().map(|keys| keys.keys as f64).sum::<f64>());
    let cool_down = status.iter().filter_map(|keys| keys.cool_down).max().unwrap_or_default();
    gauge!(COOL_DOWN).set(cool_down.as_secs_f64());
    counter!(UNKNOWN_KIDS).absolute(status.iter().map(|keys| keys.unknown_kids).sum());
}
