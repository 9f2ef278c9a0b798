//! The answer to a refused caller.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt as _};

use super::decision::Reason;
use super::fields::Fields;
use super::take::{Check, Refused};
use crate::limits::Measure;

/// When a client retries whose policy lists the code of the refusal; -1 means that it does not (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// For a longer wait the value is -1: do not retry.
const MAX_PUSHBACK: Duration = Duration::from_secs(10);

/// The message of a refusal without a decision. It does not say what is away.
pub(crate) const UNAVAILABLE: &str = "the server cannot check its limits, try again later";

/// Why a call is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    /// The limit that refuses the call; of several, the one with the longest wait.
    pub(crate) by: &'a Check<'a>,
    pub(crate) reason: Reason,
    /// When it can pass; `None` if that is not known, or it never can.
    pub(crate) wait: Option<Duration>,
    is_forever: bool,
}

impl<'a> Refusal<'a> {
    /// The common refusal of several limits.
    pub(crate) fn of(refusing: impl Iterator<Item = &'a Check<'a>>) -> Option<Self> {
        // A reason in the caller's control comes first. After the longest wait, all limits allow the call.
        let one = |by: &'a Check<'a>| {
            let (wait, is_forever) = match (by.refused()?, &by.limit.measure) {
                (Refused::For(wait), _) => (Some(wait), false),
                (Refused::Forever, _) => (None, true),
                (Refused::Full, Measure::InFlight { retry_after, .. }) => (*retry_after, false),
                (Refused::Full, Measure::Calls { .. }) => (None, false),
            };
            Some(Self { by, reason: by.reason(), wait, is_forever })
        };
        let rank = |refusal: &Self| (Reverse(refusal.reason), refusal.is_forever, refusal.wait);
        let (mut reported, mut wait, mut is_forever) = (None::<Self>, None, false);
        for refusal in refusing.filter_map(one) {
            wait = wait.max(refusal.wait);
            is_forever |= refusal.is_forever;
            if reported.is_none_or(|reported| rank(&refusal) > rank(&reported)) {
                reported = Some(refusal);
            }
        }
        reported.map(|reported| Self { wait: wait.filter(|_| !is_forever), is_forever, ..reported })
    }

    fn message(&self) -> String {
        match (self.reason, self.wait) {
            (Reason::RateLimited, None) => {
                "the call costs more than its limit ever allows".to_owned()
            }
            (Reason::RateLimited, Some(wait)) => {
                format!("too many calls, try again in {}", rounded(wait))
            }
            (Reason::ConcurrencyLimited, _) => {
                "too many calls at a time, try again when one of them has ended".to_owned()
            }
            (Reason::Overloaded, _) => "the server is busy, try again later".to_owned(),
            (Reason::LimiterUnavailable, _) => UNAVAILABLE.to_owned(),
        }
    }

    /// The status for the caller. It names the limits that refuse, and never the text of a key.
    pub(crate) fn status(&self, domain: &str, refusing: &[&Check<'_>], now: u64) -> Status {
        let about = HashMap::from([("limit".to_owned(), self.by.limit.name.to_string())]);
        let mut details = ErrorDetails::with_error_info(self.reason.as_str(), domain, about);
        details
            .set_quota_failure(refusing.iter().map(|check| violation(check)).collect::<Vec<_>>());
        if self.wait.is_some() {
            details.set_retry_info(self.wait);
        }
        let metadata = MetadataMap::from_headers(self.headers(refusing, now));
        let (code, message) = (self.reason.code(), self.message());
        Status::with_error_details_and_metadata(code, message, details, metadata)
    }

    fn headers(&self, refusing: &[&Check<'_>], now: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pushback = match self.wait {
            Some(wait) if wait <= MAX_PUSHBACK => HeaderValue::from(milliseconds(wait)),
            _ => HeaderValue::from_static("-1"),
        };
        headers.insert(PUSHBACK, pushback);
        let mut fields = Fields::default();
        for check in refusing {
            let more_in = match (check.refused(), &check.limit.measure) {
                (Some(Refused::For(wait)), _) => Some(wait),
                (_, Measure::InFlight { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let more_in = more_in.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
            let limit = check.limit;
            fields.add(&limit.name, &limit.policy, check.remaining(now), more_in);
        }
        fields.write(&mut headers);
        headers
    }

    /// `retry-after`, for callers that do not use gRPC.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from(seconds(self.wait?)))
    }
}

fn violation(check: &Check<'_>) -> QuotaViolation {
    let limit = check.limit;
    let (metric, value) = match &limit.measure {
        Measure::Calls { pace, .. } => ("calls", pace.burst()),
        Measure::InFlight { max, .. } => ("calls in flight", *max),
    };
    QuotaViolation {
        quota_metric: metric.to_owned(),
        quota_id: limit.name.to_string(),
        quota_value: value.into(),
        ..QuotaViolation::new(limit.key.kind(), &*limit.description)
    }
}

/// Rounded up.
pub(crate) fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

fn rounded(wait: Duration) -> String {
    match wait <= MAX_PUSHBACK {
        true => format!("{} ms", milliseconds(wait)),
        false => format!("{} s", seconds(wait)),
    }
}
