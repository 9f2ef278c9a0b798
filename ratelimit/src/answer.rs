//! What a refused caller is told.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::{ErrorDetails, QuotaViolation, StatusExt as _};

use crate::decision::Reason;
use crate::fields::Fields;
use crate::settle::{Ask, Refused};
use crate::table::Measure;

/// When a client that has a retry policy calls again; -1 says that it does not (gRFC A6).
const PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// A client is not told to wait longer than that, holding on to its call.
const PUSHBACK_AT_MOST: Duration = Duration::from_secs(10);

/// Why a call is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    /// The limit that it is refused by: of several, the one that is waited for.
    pub(crate) by: &'a Ask<'a>,
    pub(crate) reason: Reason,
    /// When it can pass; `None` if nobody knows, or it never can.
    pub(crate) wait: Option<Duration>,
    is_forever: bool,
}

impl<'a> Refusal<'a> {
    /// What those limits say together, which all refuse.
    pub(crate) fn of(refusing: impl Iterator<Item = &'a Ask<'a>>) -> Option<Self> {
        // What the caller has done says more than that the server is full. Who waits for the last of them has
        // waited for all.
        let one = |by: &'a Ask<'a>| {
            let (wait, is_forever) = match (by.refused()?, &by.limit.measure) {
                (Refused::For(wait), _) => (Some(wait), false),
                (Refused::Forever, _) => (None, true),
                (Refused::Full, Measure::InFlight { retry_after, .. }) => (*retry_after, false),
                (Refused::Full, Measure::Calls { .. }) => (None, false),
            };
            Some(Self { by, reason: by.reason(), wait, is_forever })
        };
        let rank = |refusal: &Self| (Reverse(refusal.reason), refusal.is_forever, refusal.wait);
        let (mut told, mut wait, mut is_forever) = (None::<Self>, None, false);
        for refusal in refusing.filter_map(one) {
            wait = wait.max(refusal.wait);
            is_forever |= refusal.is_forever;
            if told.is_none_or(|told| rank(&refusal) > rank(&told)) {
                told = Some(refusal);
            }
        }
        told.map(|told| Self { wait: wait.filter(|_| !is_forever), is_forever, ..told })
    }

    fn message(&self) -> String {
        match (self.reason, self.wait) {
            (Reason::RateLimited, None) => {
                "the call costs more than its limit ever lets pass".to_owned()
            }
            (Reason::RateLimited, Some(wait)) => {
                format!("too many calls, try again in {}", rounded(wait))
            }
            (Reason::ConcurrencyLimited, _) => {
                "too many calls at a time, try again when one of them is over".to_owned()
            }
            (Reason::Overloaded, _) => "the server is busy, try again later".to_owned(),
        }
    }

    /// What the caller is told: of the limits that refuse, nothing of the text of their keys.
    pub(crate) fn status(&self, domain: &str, refusing: &[&Ask<'_>], now: u64) -> Status {
        let about = HashMap::from([("limit".to_owned(), self.by.limit.name.to_string())]);
        let mut details = ErrorDetails::with_error_info(self.reason.as_str(), domain, about);
        details.set_quota_failure(refusing.iter().map(|ask| violation(ask)).collect::<Vec<_>>());
        if self.wait.is_some() {
            details.set_retry_info(self.wait);
        }
        let metadata = MetadataMap::from_headers(self.headers(refusing, now));
        let (code, message) = (self.reason.code(), self.message());
        Status::with_error_details_and_metadata(code, message, details, metadata)
    }

    fn headers(&self, refusing: &[&Ask<'_>], now: u64) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pushback = match self.wait {
            Some(wait) if wait <= PUSHBACK_AT_MOST => HeaderValue::from(milliseconds(wait)),
            _ => HeaderValue::from_static("-1"),
        };
        headers.insert(PUSHBACK, pushback);
        let mut fields = Fields::default();
        for ask in refusing {
            let more_in = match (ask.refused(), &ask.limit.measure) {
                (Some(Refused::For(wait)), _) => Some(wait),
                (_, Measure::InFlight { retry_after, .. }) => *retry_after,
                _ => None,
            };
            let more_in = more_in.map(|wait| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
            let limit = ask.limit;
            fields.add(&limit.name, &limit.policy, ask.remaining(now), more_in);
        }
        fields.write(&mut headers);
        headers
    }

    /// `retry-after`, for whoever does not speak gRPC.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from(seconds(self.wait?)))
    }
}

fn violation(ask: &Ask<'_>) -> QuotaViolation {
    let limit = ask.limit;
    let (metric, value) = match &limit.measure {
        Measure::Calls { pace, .. } => ("calls", pace.burst()),
        Measure::InFlight { at_most, .. } => ("calls in flight", *at_most),
    };
    QuotaViolation {
        quota_metric: metric.to_owned(),
        quota_id: limit.name.to_string(),
        quota_value: value.into(),
        ..QuotaViolation::new(limit.key.kind(), &*limit.words)
    }
}

/// Never earlier than it is true.
pub(crate) fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn seconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

fn rounded(wait: Duration) -> String {
    match wait <= PUSHBACK_AT_MOST {
        true => format!("{} ms", milliseconds(wait)),
        false => format!("{} s", seconds(wait)),
    }
}
