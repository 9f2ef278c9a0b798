//! W3C Trace Context: `traceparent` and `tracestate`.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use tonic_call::{TraceParent, find_header};

use crate::trace_id::trace_ids;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The largest number of entries (W3C Trace Context, "tracestate header field values").
const MAX_ENTRIES: usize = 32;

/// The longest list that is passed on whole. The specification requires at least this much ("tracestate
/// limits"), and more would let callers fill the headers of internal calls.
const MAX_STATE_BYTES: usize = 512;

/// Entries longer than this are dropped first.
const LONG_ENTRY: usize = 128;

/// The caller's span; `None` without a valid `traceparent`, and then `tracestate` is ignored.
pub(crate) fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let parent = TraceParent::from_headers(headers)?;
    let ids = parent.ids();
    Some(SpanContext::new(
        TraceId::from(ids.trace_id()),
        SpanId::from(ids.span_id()),
        TraceFlags::new(parent.flags()),
        true,
        state(headers),
    ))
}

/// Sets the headers for the context's span. Without a span the headers are left unchanged.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    let span = context.span();
    let span = span.span_context();
    let Some(ids) = trace_ids(span) else { return };
    let parent = TraceParent::new(ids, span.trace_flags().to_u8());
    headers.insert(TRACEPARENT, parent.to_header());
    match HeaderValue::try_from(span.trace_state().header()) {
        Ok(state) if !state.is_empty() => headers.insert(TRACESTATE, state),
        // The existing header belongs to another parent.
        _ if find_header(headers, &TRACESTATE).is_some() => headers.remove(TRACESTATE),
        _ => None,
    };
}

/// The well-formed entries of all headers, in order; of duplicate keys the first.
fn state(headers: &HeaderMap) -> TraceState {
    if find_header(headers, &TRACESTATE).is_none() {
        return TraceState::NONE;
    }
    let mut entries: Vec<(&str, &str)> = Vec::new();
    let values = headers.get_all(TRACESTATE).iter().filter_map(|value| value.to_str().ok());
    for member in values.flat_map(|value| value.split(',')) {
        let Some(entry) = entry(member.trim_matches([' ', '\t'])) else { continue };
        if entries.len() < MAX_ENTRIES && !entries.iter().any(|(key, _)| *key == entry.0) {
            entries.push(entry);
        }
    }
    shorten(&mut entries);
    // If the library rejects one of the keys, the whole list is dropped.
    TraceState::from_key_value(entries).unwrap_or_default()
}

fn entry(member: &str) -> Option<(&str, &str)> {
    let (key, value) = member.split_once('=')?;
    let starts_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-*/@".contains(c);
    let is_value = |c: char| matches!(c, ' '..='~') && c != ',' && c != '=';
    let is_valid = starts_well
        && key.len() <= 256
        && key.chars().all(is_key)
        && (1..=256).contains(&value.len())
        && value.chars().all(is_value);
    is_valid.then_some((key, value))
}

/// Drops entries until the list is short enough: long ones first, from the right.
fn shorten(entries: &mut Vec<(&str, &str)>) {
    let length = |(key, value): &(&str, &str)| key.len() + 1 + value.len();
    loop {
        let commas = entries.len().saturating_sub(1);
        if entries.iter().map(length).sum::<usize>() + commas <= MAX_STATE_BYTES {
            return;
        }
        let long = entries.iter().rposition(|entry| length(entry) > LONG_ENTRY);
        entries.remove(long.unwrap_or(entries.len() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a header"));
        }
        headers
    }

    fn state_of(values: &[&str]) -> String {
        let mut pairs = vec![("traceparent", PARENT)];
        pairs.extend(values.iter().map(|value| ("tracestate", *value)));
        extract(&headers(&pairs)).expect("a parent").trace_state().header()
    }

    #[test]
    fn what_is_taken_out_is_put_in_again() {
        for flags in ["00", "01", "02", "03"] {
            let parent = format!("{}{flags}", &PARENT[..53]);
            let sent = headers(&[("traceparent", &parent), ("tracestate", "a=1,b=2")]);
            let span = extract(&sent).expect("a parent");
            assert!(span.is_remote());
            assert_eq!(span.is_sampled(), flags.ends_with(['1', '3']));
            let mut passed_on = HeaderMap::new();
            inject(&Context::new().with_remote_span_context(span), &mut passed_on);
            assert_eq!(passed_on, sent);
        }
    }

    #[test]
    fn a_later_version_is_passed_on_as_this_one() {
        let later = format!("cc{}-what-comes", &PARENT[2..53].to_owned());
        assert!(extract(&headers(&[("traceparent", &later)])).is_none());
        let later = format!("cc{}ff-what-comes", &PARENT[2..53]);
        let span = extract(&headers(&[("traceparent", &later)])).expect("a parent");
        let mut passed_on = HeaderMap::new();
        inject(&Context::new().with_remote_span_context(span), &mut passed_on);
        assert_eq!(passed_on["traceparent"], PARENT);
    }

    #[test]
    fn a_state_without_a_parent_does_not_count() {
        assert!(extract(&headers(&[("tracestate", "a=1")])).is_none());
        assert!(extract(&headers(&[("traceparent", "nonsense"), ("tracestate", "a=1")])).is_none());
    }

    #[test]
    fn several_states_are_one_list_and_what_is_malformed_in_it_is_left_out() {
        assert_eq!(state_of(&["a=1, b=2 ", "c=3"]), "a=1,b=2,c=3");
        assert_eq!(state_of(&["a=1,,b=2,"]), "a=1,b=2");
        assert_eq!(state_of(&["a=1,a=2"]), "a=1");
        assert_eq!(state_of(&["0tenant@sys=x y"]), "0tenant@sys=x y");
        for bad in ["B=2", "=2", "b", "b=", "b=c=d", "_b=2", "b =2"] {
            assert_eq!(state_of(&[&format!("a=1,{bad},c=3")]), "a=1,c=3", "{bad}");
        }
        let long = "x".repeat(257);
        assert_eq!(state_of(&[&format!("a=1,b={long},{long}=1")]), "a=1");
    }

    #[test]
    fn a_state_that_is_too_long_loses_whole_entries_the_long_ones_first() {
        let many: Vec<_> = (0..40).map(|number| format!("k{number}=v")).collect();
        assert_eq!(state_of(&[&many.join(",")]), many[..MAX_ENTRIES].join(","));

        let long = format!("long={}", "x".repeat(200));
        let short: Vec<_> = (0..10).map(|number| format!("k{number}={}", "y".repeat(40))).collect();
        let kept = state_of(&[&format!("{long},{}", short.join(","))]);
        assert_eq!(kept, short.join(","));
        let kept = state_of(&[&[short.join(","), "z1=".to_owned() + &"z".repeat(99)].join(",")]);
        assert_eq!(kept, short.join(","));
    }

    #[test]
    fn a_context_without_a_span_says_nothing() {
        let sent = headers(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        let mut same = sent.clone();
        inject(&Context::new(), &mut same);
        assert_eq!(same, sent);
    }

    #[test]
    fn the_state_of_another_parent_is_not_passed_on() {
        let span = extract(&headers(&[("traceparent", PARENT)])).expect("a parent");
        let mut forwarded = headers(&[("traceparent", "old"), ("tracestate", "old=1")]);
        inject(&Context::new().with_remote_span_context(span), &mut forwarded);
        assert_eq!(forwarded, headers(&[("traceparent", PARENT)]));
    }
}
