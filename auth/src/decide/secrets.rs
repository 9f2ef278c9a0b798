//! Keeps credentials out of logs.

use http::{HeaderMap, HeaderName};

use super::failure::Failure;

/// The headers that carry credentials.
#[derive(Clone, Debug)]
pub(crate) struct Secrets(Vec<HeaderName>);

/// Replaces text of credentials.
const REDACTED: &str = "(text of the credentials)";

/// Fewer bytes in common can be coincidence.
const CHANCE: usize = 8;

impl Secrets {
    pub(crate) fn new(names: Vec<HeaderName>) -> Self {
        let mut secrets = Vec::new();
        for name in names {
            if !secrets.contains(&name) {
                secrets.push(name);
            }
        }
        Self(secrets)
    }

    /// Marks the values as sensitive, so that they are omitted where headers are shown.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        for (name, value) in headers.iter_mut() {
            if self.0.contains(name) {
                value.set_sensitive(true);
            }
        }
    }

    pub(crate) fn remove(&self, headers: &mut HeaderMap) {
        for name in &self.0 {
            headers.remove(name);
        }
    }

    /// Whether a text contains a part of the credentials.
    pub(crate) fn shown_in(&self, text: &str, headers: &HeaderMap) -> bool {
        let text = text.strip_suffix('…').unwrap_or(text);
        let values = self.0.iter().flat_map(|name| headers.get_all(name));
        let mut words = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b' '));
        words.any(|word| {
            let Ok(word) = std::str::from_utf8(word) else { return false };
            let whole_text = text.len() >= CHANCE && word.contains(text);
            let start = word.get(..word.len().min(2 * CHANCE)).unwrap_or(word);
            whole_text || (start.len() >= CHANCE && text.contains(start))
        })
    }

    /// Removes text of the credentials from a failure, if its author has put some into it.
    pub(crate) fn scrubbed(&self, failure: Failure, headers: &HeaderMap) -> Failure {
        match failure.received_value() {
            Some(received) if self.shown_in(received, headers) => failure.received(REDACTED),
            _ => failure,
        }
    }

    /// Removes text of the credentials from a text.
    pub(crate) fn scrubbed_text(&self, text: String, headers: &HeaderMap) -> String {
        if self.shown_in(&text, headers) { REDACTED.to_owned() } else { text }
    }
}
