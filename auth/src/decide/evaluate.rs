//! Decides each call, and reports the decision.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use http::{Extensions, HeaderMap, request};
use tonic::Status;
use tonic_call::{
    CallInfo, FieldValue, Refusal, Rejection, Rpc, Side, UncalledRules, guarded, sanitize,
};

use super::authenticate::Outcome;
use super::decision::{Decision, Verdict};
use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::settings::{LAYER, Ruled, Settings};

/// A call that passes.
pub(crate) struct Passed {
    /// The caller, if the call ends when its credentials expire.
    pub(crate) expiring: Option<Identity>,
}

/// The caller; or the failure, and the caller if authenticated.
type Judged = Result<Identity, (Failure, Option<Identity>)>;

impl Settings {
    /// Decides a call of a public method: it passes if the method exists.
    pub(crate) fn public(
        &self,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        if let Ruled::Unknown(_) = ruled {
            return self.conclude(Err((unserved(rpc), None)), false, ruled, head, rpc);
        }
        self.tell(&Decision {
            verdict: Verdict::Public,
            shadow: false,
            cached: false,
            rpc,
            identity: None,
            failure: None,
            extensions: Some(&head.extensions),
        });
        self.called(rpc);
        Ok(self.pass(head, None))
    }

    /// The call passes, without its credentials if they are removed.
    fn pass(&self, head: &mut request::Parts, expiring: Option<Identity>) -> Passed {
        if self.remove_credentials {
            self.secrets.remove(&mut head.headers);
        }
        Passed { expiring }
    }

    /// Refuses a CORS preflight: it never has credentials, and a tonic service would run its method.
    pub(crate) fn preflight(
        &self,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        if !self.preflight_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tonic_auth_layer",
                shadow = self.shadow,
                "a CORS preflight was refused: put the CORS layer outside the `AuthLayer`"
            );
        }
        let failure = Failure::new(Reason::CredentialsMissing, "preflight");
        self.conclude(Err((failure, None)), false, ruled, head, rpc)
    }

    /// Records the rule that a passed call matches. Refused calls are not recorded: callers choose their paths.
    fn called(&self, rpc: &Rpc) {
        if let Some(rules) = self.uncalled.as_ref().and_then(|rules| rules.called(rpc)) {
            tracing::info!(
                target: "tonic_auth_layer",
                calls = UncalledRules::CALLS,
                rules,
                "no call has matched these rules for methods and services: check their names, or set \
                 `AuthBuilder::methods`, which makes a wrong name an error of `build`"
            );
        }
    }

    /// Decides a call by the result of the authenticator, which came at that time. `Err` is the status of a refusal.
    pub(crate) fn decide(
        &self,
        found: Result<Outcome, String>,
        now: SystemTime,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        let cached = matches!(found, Ok(Outcome::Identified { cached: true, .. }));
        let judged = self.judge(found, now, ruled, head, rpc);
        self.conclude(judged, cached, ruled, head, rpc)
    }

    /// Reports the decision, and applies it.
    fn conclude(
        &self,
        judged: Judged,
        cached: bool,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        let (identity, failure) = match &judged {
            Ok(identity) => (Some(identity), None),
            Err((failure, identity)) => (identity.as_ref(), Some(failure)),
        };
        self.tell(&Decision {
            verdict: if failure.is_some() { Verdict::Refused } else { Verdict::Passed },
            shadow: self.shadow && failure.is_some(),
            cached,
            rpc,
            identity,
            failure,
            extensions: Some(&head.extensions),
        });
        let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
        if let Some(identity) = identity {
            info.set_principal(identity.principal());
        }
        let identity = match judged {
            Ok(identity) => {
                self.called(rpc);
                Some(identity)
            }
            Err((failure, identity)) => {
                self.refuse(&failure, ruled, &info, head, rpc)?;
                identity
            }
        };
        let expires = |identity: &&Identity| identity.expires_at().is_some();
        let expiring = identity.as_ref().filter(expires).filter(|_| self.ends_at_expiry(rpc));
        let passed = self.pass(head, expiring.cloned());
        if let Some(identity) = identity {
            head.extensions.insert(identity);
        }
        Ok(passed)
    }

    fn judge(
        &self,
        found: Result<Outcome, String>,
        now: SystemTime,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Judged {
        let (failure, identity) = match found {
            Ok(Outcome::Identified { identity, .. }) => match expired(&identity, now) {
                Some(failure) => (failure, None),
                None => match self.authorize(ruled, &identity, head, rpc) {
                    Ok(()) => return Ok(identity),
                    Err(failure) => (failure, Some(identity)),
                },
            },
            Ok(Outcome::Absent) => (missing(&head.headers), None),
            Ok(Outcome::Refused(failure) | Outcome::Unavailable(failure)) => (failure, None),
            Err(panic) => (self.panicked(panic, "authenticator", head, rpc), None),
        };
        Err((self.secrets.scrubbed(failure, &head.headers), identity))
    }

    fn authorize(
        &self,
        ruled: Ruled<'_>,
        identity: &Identity,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<(), Failure> {
        match ruled {
            Ruled::By(access) => guarded(|| access.allows(identity, rpc))
                .unwrap_or_else(|panic| Err(self.panicked(panic, "access", head, rpc))),
            Ruled::Unknown(_) => Err(unserved(rpc)),
        }
    }

    /// A panic in code of the user: the call is refused.
    fn panicked(
        &self,
        panic: String,
        check: &'static str,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Failure {
        let panic = self.secrets.scrubbed_text(panic, &head.headers);
        tracing::error!(
            target: "tonic_auth_layer",
            {
                rpc.method = &*rpc.shown(),
                exception.message = %sanitize(&panic),
                auth.check = check,
            },
            "a panic in authentication, the call is refused"
        );
        CallInfo::get_or_insert(Side::Server, &mut head.extensions).set_panic(panic);
        Failure::new(Reason::VerifierUnavailable, check).received("a panic")
    }

    /// `Ok` in shadow mode: the refusal is only reported.
    fn refuse(
        &self,
        failure: &Failure,
        ruled: Ruled<'_>,
        info: &CallInfo,
        head: &request::Parts,
        rpc: &Rpc,
    ) -> Result<(), Status> {
        explain(failure, info);
        tracing::debug!(
            target: "tonic_auth_layer",
            {
                rpc.method = &*rpc.shown(),
                shadow = self.shadow,
                reason = failure.reason().as_str(),
                auth.check = failure.check(),
                auth.expected = failure.expected_value(),
                auth.received = failure.received_value(),
            },
            "refused"
        );
        if rpc.is_health() && !self.health_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tonic_auth_layer",
                shadow = self.shadow,
                reason = failure.reason().as_str(),
                "a health probe was refused: if probes have no credentials, call \
                 `AuthBuilder::public_health`"
            );
        }
        let reason = failure.reason();
        if self.shadow {
            info.add_refusal(Refusal::shadow(LAYER, reason.as_str()));
            return Ok(());
        }
        let status = self.answers.status(failure, ruled.access());
        Err(Rejection::new(Refusal::new(LAYER, reason.as_str()), status)
            .into_status(&head.extensions))
    }

    /// A panic in the hook does not change the decision.
    pub(crate) fn tell(&self, decision: &Decision<'_>) {
        let Some(hook) = &self.hook else { return };
        if guarded(|| hook(decision)).is_err() {
            tracing::error!(target: "tonic_auth_layer", "the hook of an `AuthLayer` panicked");
        }
    }
}

/// An expired identity is refused, even if its authenticator accepts it.
fn expired(identity: &Identity, now: SystemTime) -> Option<Failure> {
    (identity.expires_at()? <= now).then(|| Failure::new(Reason::TokenExpired, "expiry"))
}

/// The method does not exist.
fn unserved(rpc: &Rpc) -> Failure {
    Failure::new(Reason::MethodUnknown, "method").received(&*rpc.shown())
}

/// No authenticator found credentials.
fn missing(headers: &HeaderMap) -> Failure {
    let missing = Failure::new(Reason::CredentialsMissing, "credentials");
    match headers.contains_key(http::header::AUTHORIZATION) {
        true => missing.received("an authorization of another scheme"),
        false => missing,
    }
}

/// Adds the failed check to the call's log line.
pub(crate) fn explain(failure: &Failure, info: &CallInfo) {
    for (key, value) in explanation(failure) {
        info.add_field(key, value);
    }
}

/// The failed check, as fields of the call's log line.
pub(crate) fn explanation(failure: &Failure) -> impl Iterator<Item = (&'static str, FieldValue)> {
    let expected = failure.expected_value().map(|value| ("auth.expected", value));
    let received = failure.received_value().map(|value| ("auth.received", value));
    let values = expected.into_iter().chain(received);
    let values = values.map(|(key, value)| (key, value.to_owned().into()));
    std::iter::once(("auth.check", failure.check().into())).chain(values)
}

/// Removes an identity that this layer did not set for this call.
pub(crate) fn forget(extensions: &mut Extensions) {
    extensions.remove::<Identity>();
}
