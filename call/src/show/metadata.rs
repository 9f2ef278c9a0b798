//! Metadata that may be shown.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::show::sanitize;

/// The metadata that a team allows to be shown, in logs or on spans.
///
/// What may hold a secret is never shown, allowed or not: `authorization`, `proxy-authorization`,
/// `cookie`, `set-cookie`, and binary metadata (`*-bin`). Nor is a value that the program marked as
/// [sensitive](HeaderValue::is_sensitive).
#[derive(Clone, Debug, Default)]
pub struct AllowedMetadata(Arc<[HeaderName]>);

impl AllowedMetadata {
    /// Allows these names, whatever their case; one that no header can have matches none.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut allowed: Vec<HeaderName> = Vec::new();
        for name in names {
            let Ok(name) = HeaderName::try_from(name.as_ref()) else { continue };
            if !is_secret(&name) && !allowed.contains(&name) {
                allowed.push(name);
            }
        }
        Self(allowed.into())
    }

    /// The names that may be shown, in lower case, in the order in which they were given.
    pub fn names(&self) -> &[HeaderName] {
        &self.0
    }

    /// Whether nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What of these headers may be shown: the values of each of the [names](Self::names), by its
    /// place among them. Cloning a value copies no text, so they can be kept beyond the head.
    pub fn values<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> impl Iterator<Item = (usize, &'h HeaderValue)> {
        self.0.iter().enumerate().flat_map(move |(place, name)| {
            let shown = headers.get_all(name).into_iter().filter(|value| !value.is_sensitive());
            shown.map(move |value| (place, value))
        })
    }
}

/// What may be shown of one call's metadata, kept until the call is over.
#[derive(Debug)]
pub struct KeptMetadata {
    allowed: AllowedMetadata,
    /// Which of the names, and its values. Of most calls there is nothing.
    kept: Mutex<Vec<(usize, Vec<HeaderValue>)>>,
}

impl KeptMetadata {
    /// Keeps what is allowed, and nothing yet.
    pub fn new(allowed: &AllowedMetadata) -> Self {
        Self { allowed: allowed.clone(), kept: Mutex::default() }
    }

    /// Keeps what may be shown of a head, or of trailers. A name that stands in both is told of the
    /// first.
    pub fn keep(&self, headers: &HeaderMap) {
        if self.allowed.is_empty() {
            return;
        }
        let mut kept = self.kept();
        let before = kept.len();
        for (place, value) in self.allowed.values(headers) {
            if kept[..before].iter().any(|(other, _)| *other == place) {
                continue;
            }
            match kept.last_mut() {
                Some((last, values)) if *last == place => values.push(value.clone()),
                _ => kept.push((place, vec![value.clone()])),
            }
        }
    }

    /// Shows each name that was there, by its place among the [names](AllowedMetadata::names), with its
    /// values.
    pub fn show(&self, mut show: impl FnMut(usize, &HeaderName, &[HeaderValue])) {
        for (place, values) in &*self.kept() {
            show(*place, &self.allowed.names()[*place], values);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<(usize, Vec<HeaderValue>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of one header as a line of text: several are joined by `, `, as HTTP joins them
/// (RFC 9110 §5.3), and the whole is [`sanitize`].
pub fn joined<'v>(values: impl IntoIterator<Item = &'v HeaderValue>) -> Option<Cow<'v, str>> {
    let mut values = values.into_iter();
    let first = values.next()?.as_bytes();
    let Some(second) = values.next() else { return Some(sanitize(first)) };
    let mut all = first.to_vec();
    for value in std::iter::once(second).chain(values) {
        all.extend_from_slice(b", ");
        all.extend_from_slice(value.as_bytes());
    }
    Some(sanitize(&all).into_owned().into())
}

fn is_secret(name: &HeaderName) -> bool {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE].contains(name)
        || name.as_str().ends_with("-bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(allowed: &AllowedMetadata, headers: &HeaderMap) -> Vec<(usize, String)> {
        let values = allowed.values(headers);
        values.map(|(place, value)| (place, value.to_str().expect("text").to_owned())).collect()
    }

    #[test]
    fn only_what_is_allowed_is_shown() {
        let allowed = AllowedMetadata::new(["X-Tenant", "x-region", "not a name", "x-tenant"]);
        assert_eq!(allowed.names(), ["x-tenant", "x-region"]);
        let mut headers = HeaderMap::new();
        headers.append("x-tenant", HeaderValue::from_static("a"));
        headers.append("x-tenant", HeaderValue::from_static("b"));
        headers.append("x-other", HeaderValue::from_static("c"));
        assert_eq!(shown(&allowed, &headers), [(0, "a".into()), (0, "b".into())]);
    }

    #[test]
    fn what_may_hold_a_secret_is_never_shown() {
        let secrets = [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "x-key-bin",
            "grpc-status-details-bin",
        ];
        let allowed = AllowedMetadata::new(secrets);
        assert!(allowed.is_empty());

        let allowed = AllowedMetadata::new(["x-key"]);
        let mut value = HeaderValue::from_static("s3cret");
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-key"), value)]);
        assert_eq!(shown(&allowed, &headers), []);
    }

    #[test]
    fn what_is_kept_of_a_head_is_not_told_again_of_the_trailers() {
        let kept = KeptMetadata::new(&AllowedMetadata::new(["x-a", "x-b"]));
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_static(value));
            }
            headers
        };
        kept.keep(&headers(&[("x-b", "1"), ("x-c", "2"), ("x-b", "3")]));
        kept.keep(&headers(&[("x-b", "4"), ("x-a", "5")]));
        let mut shown = Vec::new();
        kept.show(|place, name, values| shown.push((place, name.to_string(), values.to_vec())));
        assert_eq!(
            shown,
            [(1, "x-b".into(), vec!["1", "3"]), (0, "x-a".into(), vec!["5"])].map(
                |(place, name, values): (usize, String, Vec<&str>)| {
                    (place, name, values.into_iter().map(HeaderValue::from_static).collect())
                }
            )
        );
    }

    #[test]
    fn several_values_are_one_line() {
        let [a, b] = [HeaderValue::from_static("a"), HeaderValue::from_static("b\tc")];
        assert_eq!(joined([]), None);
        assert_eq!(joined([&a]).as_deref(), Some("a"));
        assert_eq!(joined([&a, &b]).as_deref(), Some(r"a, b\tc"));
    }
}
