//! `--limit`: one rate limit.

use std::str::FromStr;

use tonic_ratelimit_layer::{Limits, Quota, Rule};

use crate::auth::Auth;
use crate::methods;
use crate::service::VERSIONS;

/// The rate limit of methods that no other limit applies to.
///
/// A client that waits for each response makes about a thousand calls per second, and far fewer over a network.
/// So the default affects only clients that make many calls at once, and it does so before other callers notice.
pub(crate) const DEFAULT: &str = "*=2000/4000:principal";

/// The default without authentication: all callers are on this machine, and cannot be distinguished.
pub(crate) const DEFAULT_WITHOUT_AUTH: &str = "*=2000/4000";

/// One `--limit`: `off`, `METHODS=RATE/BURST` or `METHODS=RATE/BURST:KEY`.
#[derive(Clone, Debug)]
pub enum RateLimit {
    /// No rate limits.
    Off,
    /// A quota.
    Quota {
        /// The methods that it applies to.
        applies_to: AppliesTo,
        /// Rate, burst and key.
        quota: Quota,
        /// Whether its key is the peer address: it is then checked before authentication.
        by_peer: bool,
        /// The text that it was parsed from.
        text: String,
    },
}

/// The methods that a limit applies to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppliesTo {
    /// Every method without a limit of its own, or of its service.
    Default,
    /// The methods of a service without a limit of their own.
    Service(String),
    /// One method of a service.
    Method(String, String),
}

impl RateLimit {
    /// The rule for methods without a limit of their own, if none is configured.
    pub(super) fn default_rule(auth: Auth) -> Result<Rule, String> {
        let text = match auth {
            Auth::On => DEFAULT,
            Auth::Off => DEFAULT_WITHOUT_AUTH,
        };
        Ok(match text.parse()? {
            Self::Quota { quota, .. } => quota.into(),
            Self::Off => Rule::unlimited(),
        })
    }
}

impl AppliesTo {
    /// The same value for the same methods in any version of the API.
    pub(super) fn of_any_version(&self) -> Self {
        let first = |services: Vec<&str>| services.first().copied().unwrap_or_default().to_owned();
        match self {
            Self::Method(_, method) => Self::Method(first(self.services()), method.clone()),
            Self::Service(_) => Self::Service(first(self.services())),
            Self::Default => Self::Default,
        }
    }

    /// Adds `rule` for these methods to `limits`. The versions of the API share it: who calls both of them has one
    /// quota.
    pub(super) fn add_to(&self, limits: Limits, rule: Rule) -> Limits {
        let rule = rule.pooled();
        self.services().into_iter().fold(limits, |limits, service| match self {
            Self::Method(_, method) => limits.method(service, method, rule.clone()),
            _ => limits.service(service, rule.clone()),
        })
    }

    /// The names of the service: those of all versions, if all have the method.
    fn services(&self) -> Vec<&str> {
        let (service, is_in_all) = match self {
            Self::Method(service, method) => (&**service, methods::is_in_every_version(method)),
            Self::Service(service) => (&**service, true),
            Self::Default => return Vec::new(),
        };
        if is_in_all && VERSIONS.contains(&service) { VERSIONS.to_vec() } else { vec![service] }
    }
}

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (methods, quota) = text.split_once('=').ok_or(
            "must be METHODS=RATE/BURST or METHODS=RATE/BURST:KEY, such as \
             orders.v1.OrderService/GetOrder=5/10:principal; or off",
        )?;
        let applies_to = match methods.split_once('/') {
            _ if methods == "*" => AppliesTo::Default,
            Some((service, method)) if !service.is_empty() && !method.is_empty() => {
                AppliesTo::Method(service.to_owned(), method.to_owned())
            }
            None if !methods.is_empty() => AppliesTo::Service(methods.to_owned()),
            _ => {
                return Err(format!(
                    "{methods:?} is neither a method, such as orders.v1.OrderService/GetOrder, nor a service, \
                     nor *"
                ));
            }
        };
        // Its text as its name tells two limits of one method apart.
        let named = quota.parse::<Quota>().map_err(|error| error.to_string())?.named(quota);
        let by_peer = quota.split_once(':').is_some_and(|(_, key)| key == "peer");
        Ok(Self::Quota { applies_to, quota: named, by_peer, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards against: a limit by the value of some metadata that a stranger chooses, outside of authentication.
    #[test]
    fn only_a_limit_by_peer_is_asked_before_it_is_known_who_calls() {
        for (text, expected) in [
            ("*=5/10:peer", true),
            ("orders.v1.OrderService=5/10:peer", true),
            ("*=5/10", false),
            ("*=5/10:principal", false),
            ("*=5/10:metadata:peer", false),
        ] {
            let RateLimit::Quota { by_peer, .. } = text.parse().expect("good") else {
                panic!("{text}")
            };
            assert_eq!(by_peer, expected, "{text}");
        }
    }
}
