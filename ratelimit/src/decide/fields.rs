//! The IETF's `RateLimit` fields (draft-ietf-httpapi-ratelimit-headers), which are lists of structured
//! fields (RFC 9651).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The two fields, while limits are added.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    policy: String,
    limit: String,
}

impl Fields {
    /// Adds a limit: its policy, how many calls remain, and in how many nanoseconds there are more.
    pub(crate) fn add(&mut self, name: &str, policy: &str, remaining: u32, more_in: Option<u64>) {
        for list in [&mut self.policy, &mut self.limit] {
            if !list.is_empty() {
                list.push_str(", ");
            }
            quoted(list, name);
        }
        self.policy.push_str(policy);
        // Writing to a `String` does not fail.
        let _ = write!(self.limit, ";r={remaining}");
        if let Some(nanoseconds) = more_in {
            let _ = write!(self.limit, ";t={}", nanoseconds.div_ceil(1_000_000_000));
        }
    }

    /// Adds the fields to a head. They must not be in trailers.
    pub(crate) fn write(&self, head: &mut HeaderMap) {
        for (name, list) in [(POLICY, &self.policy), (LIMIT, &self.limit)] {
            if let Ok(list) = HeaderValue::from_str(list) {
                head.append(name, list);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.policy.is_empty()
    }
}

/// A string (RFC 9651 §3.3.3).
fn quoted(list: &mut String, text: &str) {
    list.push('"');
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            list.push('\\');
        }
        list.push(char);
    }
    list.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_joined_and_names_escaped() {
        let mut fields = Fields::default();
        assert!(fields.is_empty());
        fields.add("5/s", ";q=5;w=1", 4, Some(200_000_001));
        fields.add(r#"a "b" \c"#, r#";q=7;qu="concurrent-requests""#, 0, None);
        let mut head = HeaderMap::new();
        fields.write(&mut head);
        assert_eq!(head[POLICY], r#""5/s";q=5;w=1, "a \"b\" \\c";q=7;qu="concurrent-requests""#);
        assert_eq!(head[LIMIT], r#""5/s";r=4;t=1, "a \"b\" \\c";r=0"#);
        fields.write(&mut head);
        assert_eq!(head.get_all(LIMIT).iter().count(), 2);
    }
}
