//! Metadata that may be shown in logs and spans.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::show::sanitize;

/// The names of the metadata that may be shown in logs or on spans.
///
/// Metadata that may contain secrets is never shown, even if it is allowed here: `authorization`,
/// `proxy-authorization`, `cookie`, `set-cookie`, and binary metadata (`*-bin`). Values marked as
/// [sensitive](HeaderValue::is_sensitive) are not shown either.
#[derive(Clone, Debug, Default)]
pub struct AllowedMetadata(Arc<[HeaderName]>);

impl AllowedMetadata {
    /// Allows these names. Case does not matter; a name that no header can have is ignored.
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

    /// The allowed names, in lower case, in the order given.
    pub fn names(&self) -> &[HeaderName] {
        &self.0
    }

    /// Whether no name is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values that may be shown of these headers, each with the index of its name in
    /// [`names`](Self::names). Cloning a value copies no text, so the values can be kept longer than the head.
    pub fn values<'h>(
        &self,
        headers: &'h HeaderMap,
    ) -> impl Iterator<Item = (usize, &'h HeaderValue)> {
        self.0.iter().enumerate().flat_map(move |(index, name)| {
            let shown = headers.get_all(name).into_iter().filter(|value| !value.is_sensitive());
            shown.map(move |value| (index, value))
        })
    }
}

/// The metadata of one call that may be shown, kept until the call is over.
// `None` if no name is allowed, as in most layers: then a call stores one word, and does nothing for it.
#[derive(Debug, Default)]
pub struct KeptMetadata(Option<Box<Kept>>);

#[derive(Debug)]
struct Kept {
    allowed: AllowedMetadata,
    /// The index of a name, and its values.
    values: Mutex<Vec<(usize, Vec<HeaderValue>)>>,
}

impl KeptMetadata {
    /// Creates an empty store for the allowed metadata.
    pub fn new(allowed: &AllowedMetadata) -> Self {
        let kept = || Box::new(Kept { allowed: allowed.clone(), values: Mutex::default() });
        Self((!allowed.is_empty()).then(kept))
    }

    /// Keeps the allowed metadata of a head or of trailers. If a name is in both, the first one kept is shown.
    pub fn keep(&self, headers: &HeaderMap) {
        let Some(kept) = &self.0 else { return };
        let mut all = kept.values();
        let before = all.len();
        for (index, value) in kept.allowed.values(headers) {
            if all[..before].iter().any(|(other, _)| *other == index) {
                continue;
            }
            match all.last_mut() {
                Some((last, values)) if *last == index => values.push(value.clone()),
                _ => all.push((index, vec![value.clone()])),
            }
        }
    }

    /// Calls `show` for each name that was present, with its index in [`names`](AllowedMetadata::names), the
    /// name and its values.
    pub fn show(&self, mut show: impl FnMut(usize, &HeaderName, &[HeaderValue])) {
        let Some(kept) = &self.0 else { return };
        for (index, values) in &*kept.values() {
            show(*index, &kept.allowed.names()[*index], values);
        }
    }
}

impl Kept {
    fn values(&self) -> MutexGuard<'_, Vec<(usize, Vec<HeaderValue>)>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of one header as one line of text, joined by `, ` as in HTTP (RFC 9110 §5.3) and
/// [sanitized](sanitize). `None` if there are no values.
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
        values.map(|(index, value)| (index, value.to_str().expect("text").to_owned())).collect()
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
    fn metadata_that_may_hold_a_secret_is_never_shown() {
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
    fn metadata_kept_from_a_head_is_not_kept_again_from_the_trailers() {
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
        kept.show(|index, name, values| shown.push((index, name.to_string(), values.to_vec())));
        assert_eq!(
            shown,
            [(1, "x-b".into(), vec!["1", "3"]), (0, "x-a".into(), vec!["5"])].map(
                |(index, name, values): (usize, String, Vec<&str>)| {
                    (index, name, values.into_iter().map(HeaderValue::from_static).collect())
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
