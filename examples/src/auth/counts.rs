//! What is counted of tokens and keys. Who is calling, and by which key, is never a label.

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

/// The result of a stream that had passed, and whose token has expired.
const ENDED: &str = "ended";

/// Says what they are, and that nothing has happened yet: a rate sees the first of what was 0 before.
pub(super) fn begin() {
    describe_counter!(DECISIONS, "Calls that were let through or refused for who makes them.");
    describe_counter!(FETCHES, "Fetches of the issuer's keys.");
    describe_gauge!(FETCHED, Unit::Seconds, "When the issuer's keys were last fetched.");
    describe_gauge!(READY, "1 while tokens can be verified: the keys are there and not too old.");
    describe_gauge!(KEYS, "Keys of the issuer that verify tokens.");
    describe_gauge!(COOL_DOWN, Unit::Seconds, "How long no fetch begins for an unknown key.");
    describe_counter!(UNKNOWN_KIDS, "Tokens that named a key which the issuer does not have.");
    let refusals = [
        Reason::CredentialsMissing,
        Reason::CredentialsMalformed,
        Reason::TokenInvalid,
        Reason::TokenExpired,
        Reason::ScopeInsufficient,
        Reason::MethodUnknown,
        Reason::VerifierUnavailable,
        Reason::RateLimited,
    ];
    for result in refusals.map(Reason::as_str).into_iter().chain(["passed", "public", ENDED]) {
        for cached in [false, true] {
            decided(result, cached, 0);
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
        // Such a call has passed before, and was counted then.
        Verdict::Ended => ENDED,
        _ => decision.result(),
    };
    decided(result, decision.is_cached(), 1);
}

fn decided(result: &'static str, cached: bool, times: u64) {
    let cached = if cached { "true" } else { "false" };
    counter!(DECISIONS, "result" => result, "cached" => cached).increment(times);
}

pub(super) fn fetch(event: &KeysEvent<'_>) {
    counter!(FETCHES, "result" => event.result.as_str()).increment(1);
    // Their age would stand still between two fetches; whoever reads this knows what time it is.
    let fetched = event.age.and_then(|age| SystemTime::now().checked_sub(age));
    let since = fetched.and_then(|fetched| fetched.duration_since(UNIX_EPOCH).ok());
    if let Some(since) = since {
        gauge!(FETCHED).set(since.as_secs_f64());
    }
}

/// The keys as they are now.
pub(super) fn keys(jwt: &Jwt) {
    gauge!(READY).set(if jwt.is_ready() { 1.0 } else { 0.0 });
    let status = jwt.keys_status();
    // A development key is not fetched.
    if status.is_empty() {
        return;
    }
    gauge!(KEYS).set(status.iter().map(|keys| keys.keys as f64).sum::<f64>());
    let cool_down = status.iter().filter_map(|keys| keys.cool_down).max().unwrap_or_default();
    gauge!(COOL_DOWN).set(cool_down.as_secs_f64());
    counter!(UNKNOWN_KIDS).absolute(status.iter().map(|keys| keys.unknown_kids).sum());
}
