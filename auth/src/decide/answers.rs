//! The status of each refusal.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::access::{Access, Need};
use super::failure::{Failure, Reason};

/// Creates the status of each refusal.
#[derive(Debug)]
pub(crate) struct Answers {
    domain: String,
    realm: String,
    schemes: Vec<&'static str>,
    /// The statuses that do not depend on the method, created once.
    fixed: Vec<(Reason, Status)>,
}

/// The reasons whose answer is the same for every method.
const FIXED: [Reason; 8] = [
    Reason::CredentialsMissing,
    Reason::CredentialsMalformed,
    Reason::TokenInvalid,
    Reason::TokenExpired,
    Reason::VerifierUnavailable,
    Reason::RateLimited,
    Reason::AccessDenied,
    Reason::MethodUnknown,
];

impl Answers {
    pub(crate) fn new(domain: String, realm: String, mut schemes: Vec<&'static str>) -> Self {
        let mut seen = Vec::new();
        schemes.retain(|scheme| {
            let new = !seen.contains(scheme);
            seen.push(*scheme);
            new
        });
        let mut answers = Self { domain, realm, schemes, fixed: Vec::new() };
        answers.fixed = FIXED.map(|reason| (reason, answers.make(reason, None, None))).into();
        answers
    }

    /// The status of a refusal, for a method with that rule.
    pub(crate) fn status(&self, failure: &Failure, access: Option<&Access>) -> Status {
        let (reason, wait) = (failure.reason(), failure.retry_after_value());
        match self.fixed.iter().find(|(fixed, _)| *fixed == reason) {
            Some((_, status)) if wait.is_none() => status.clone(),
            _ => self.make(reason, access.and_then(Access::needs), wait),
        }
    }

    fn make(
        &self,
        reason: Reason,
        needs: Option<(&[Box<str>], Need)>,
        wait: Option<Duration>,
    ) -> Status {
        let mut metadata = HashMap::new();
        let mut message = reason.message().to_owned();
        if let (Reason::ScopeInsufficient, Some((scopes, need))) = (reason, needs) {
            let scopes = scopes.join(" ");
            let (some, of) = match need {
                Need::All => ("all", "all of"),
                Need::Any => ("any", "one of"),
            };
            message = match scopes.contains(' ') {
                false => format!("permission denied: needs the scope {scopes}"),
                true => format!("permission denied: needs {of} the scopes {scopes}"),
            };
            metadata.insert("scopes".to_owned(), scopes);
            metadata.insert("need".to_owned(), some.to_owned());
        }
        let mut details = ErrorDetails::with_error_info(reason.as_str(), &self.domain, metadata);
        if wait.is_some() {
            details.set_retry_info(wait);
        }
        let challenges = self.challenges(reason, needs);
        Status::with_error_details_and_metadata(reason.code(), message, details, challenges)
    }

    /// `www-authenticate`: how to authenticate (RFC 6750 §3, RFC 9110 §11.6.1).
    fn challenges(&self, reason: Reason, needs: Option<(&[Box<str>], Need)>) -> MetadataMap {
        let error = match reason {
            Reason::CredentialsMissing => None,
            Reason::CredentialsMalformed => Some("invalid_request"),
            Reason::TokenInvalid | Reason::TokenExpired => Some("invalid_token"),
            Reason::ScopeInsufficient => Some("insufficient_scope"),
            _ => return MetadataMap::new(),
        };
        let mut metadata = MetadataMap::new();
        for scheme in &self.schemes {
            let mut challenge = format!("{scheme} realm=\"{}\"", self.realm);
            if let ("Bearer", Some(error)) = (*scheme, error) {
                challenge += &format!(", error=\"{error}\"");
                if let (Reason::ScopeInsufficient, Some((scopes, _))) = (reason, needs) {
                    challenge += &format!(", scope=\"{}\"", scopes.join(" "));
                }
            }
            if let Ok(value) = MetadataValue::try_from(challenge) {
                metadata.append(WWW_AUTHENTICATE.as_str(), value);
            }
        }
        metadata
    }
}

/// Whether a text is valid between quotes in a header.
pub(crate) fn is_quotable(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok() && text.is_ascii() && !text.contains(['"', '\\'])
}
