//! The grammar of SPIFFE IDs.

use std::error::Error;
use std::fmt;

/// A SPIFFE ID: `spiffe://trust-domain/path`, the name of a workload in the URI SAN of its certificate.
///
/// ```
/// use tonic_call::SpiffeId;
///
/// let id = SpiffeId::parse("spiffe://prod.example/billing/api")?;
/// assert_eq!((id.trust_domain(), id.path()), ("prod.example", "/billing/api"));
/// # Ok::<(), tonic_call::SpiffeIdError>(())
/// ```
///
/// The grammar is that of the SPIFFE-ID specification, §2: no user, port, query, fragment or percent-encoding; a
/// trust domain of `a-z 0-9 . - _`; segments of `A-Z a-z 0-9 . - _` that are not `.` or `..`; at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId {
    text: String,
    /// Where the path begins.
    path: usize,
}

/// Why a text is not a SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpiffeIdError {
    /// It does not begin with `spiffe://`.
    Scheme,
    /// It is longer than 2,048 bytes.
    Length,
    /// The trust domain is empty, longer than 255 bytes, or has a character that is not allowed.
    TrustDomain,
    /// The path has an empty segment, `.`, `..`, a `/` at its end, or a character that is not allowed.
    Path,
}

const SCHEME: &str = "spiffe://";
const MAX_BYTES: usize = 2048;
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

impl SpiffeId {
    /// Parses an ID.
    ///
    /// # Errors
    ///
    /// If the text is not a SPIFFE ID.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_BYTES {
            return Err(SpiffeIdError::Length);
        }
        // Schemes are compared without regard to case (RFC 3986 §3.1).
        let rest = match text.get(..SCHEME.len()) {
            Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
            _ => return Err(SpiffeIdError::Scheme),
        };
        let (trust_domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !Self::is_trust_domain(trust_domain) {
            return Err(SpiffeIdError::TrustDomain);
        }
        let mut segments = path.split('/').skip(1);
        if !segments.all(is_segment) {
            return Err(SpiffeIdError::Path);
        }
        let path = SCHEME.len() + trust_domain.len();
        Ok(Self { text: [SCHEME, rest].concat(), path })
    }

    /// Whether this is the name of a trust domain, such as `prod.example`.
    pub fn is_trust_domain(name: &str) -> bool {
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        (1..=MAX_TRUST_DOMAIN_BYTES).contains(&name.len()) && name.bytes().all(allowed)
    }

    /// The name of the trust domain: `prod.example`.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path]
    }

    /// The path, with its leading slash; empty if the ID is that of the trust domain itself.
    pub fn path(&self) -> &str {
        &self.text[self.path..]
    }

    /// The whole ID.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

fn is_segment(segment: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !matches!(segment, "" | "." | "..") && segment.bytes().all(allowed)
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for SpiffeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a SPIFFE ID begins with spiffe://",
            Self::Length => "a SPIFFE ID has at most 2048 bytes",
            Self::TrustDomain => "the trust domain of a SPIFFE ID has 1 to 255 of a-z 0-9 . - _",
            Self::Path => {
                "the path of a SPIFFE ID has segments of A-Z a-z 0-9 . - _, none of them empty, `.` or `..`"
            }
        })
    }
}

impl Error for SpiffeIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_trust_domain_and_a_path() {
        for (text, trust_domain, path) in [
            ("spiffe://prod.example/billing/api", "prod.example", "/billing/api"),
            ("spiffe://prod.example", "prod.example", ""),
            ("SPIFFE://a_b-c.9/Z.z_-/...", "a_b-c.9", "/Z.z_-/..."),
            ("spiffe://10.0.0.1/x", "10.0.0.1", "/x"),
        ] {
            let id = SpiffeId::parse(text).expect(text);
            assert_eq!((id.trust_domain(), id.path()), (trust_domain, path));
            assert_eq!(id.as_str(), format!("spiffe://{trust_domain}{path}"));
        }
    }

    #[test]
    fn what_the_grammar_does_not_have_is_refused() {
        use SpiffeIdError::{Length, Path, Scheme, TrustDomain};

        let long_domain = format!("spiffe://{}/x", "a".repeat(256));
        let long = format!("spiffe://a/{}", "x".repeat(2048));
        for (text, error) in [
            ("", Scheme),
            ("https://prod.example/x", Scheme),
            ("spiffe:/prod.example", Scheme),
            ("spiffé://a", Scheme),
            ("spiffe://", TrustDomain),
            ("spiffe:///x", TrustDomain),
            ("spiffe://Prod.example/x", TrustDomain),
            ("spiffe://user@prod.example/x", TrustDomain),
            ("spiffe://prod.example:443/x", TrustDomain),
            ("spiffe://[::1]/x", TrustDomain),
            ("spiffe://prod%2eexample/x", TrustDomain),
            ("spiffe://prod.example?x", TrustDomain),
            (&long_domain, TrustDomain),
            ("spiffe://prod.example/", Path),
            ("spiffe://prod.example//x", Path),
            ("spiffe://prod.example/x/", Path),
            ("spiffe://prod.example/./x", Path),
            ("spiffe://prod.example/../x", Path),
            ("spiffe://prod.example/x%20y", Path),
            ("spiffe://prod.example/x?y", Path),
            ("spiffe://prod.example/x#y", Path),
            ("spiffe://prod.example/ü", Path),
            (&long, Length),
        ] {
            assert_eq!(SpiffeId::parse(text), Err(error), "{text}");
        }
    }
}
