//! Decides each call, and tells of it.

use std::sync::atomic::Ordering;

use http::{Extensions, HeaderMap, request};
use tonic::Status;
use tonic_call::{CallInfo, FieldValue, Refusal, Rejection, Rpc, Side, UncalledRules, sanitize};

use super::authenticate::Outcome;
use super::decision::{Decision, Verdict};
use super::failure::{Failure, Reason};
use super::identity::Identity;
use super::settings::{LAYER, Ruled, Settings};
use tonic_call::guarded;

/// A caller who may.
pub(crate) struct Passed {
    /// `None` where the caller is not known, and passes all the same: the method is public, or the layer
    /// is in shadow mode.
    pub(crate) identity: Option<Identity>,
}

/// Who passes; or what is wrong, and who it is if that is known.
type Judged = Result<Identity, (Failure, Option<Identity>)>;

impl Settings {
    /// Decides a call that needs no caller: it passes, if there is such a method.
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
        Ok(Passed { identity: None })
    }

    /// Refuses a CORS preflight: it never has credentials, and a tonic service would run its method,
    /// which no browser has asked for.
    pub(crate) fn preflight(
        &self,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        if !self.told_of_preflights.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                shadow = self.shadow,
                "a CORS preflight was refused: put the CORS layer outside the `AuthLayer`"
            );
        }
        let failure = Failure::new(Reason::CredentialsMissing, "preflight");
        self.conclude(Err((failure, None)), false, ruled, head, rpc)
    }

    /// Takes note of a call that may: what strangers try says nothing of the rules.
    fn called(&self, rpc: &Rpc) {
        if let Some(rules) = self.uncalled.as_ref().and_then(|rules| rules.called(rpc)) {
            tracing::info!(
                calls = UncalledRules::CALLS,
                rules,
                "no call has matched these rules for methods and services: are their names right? With \
                 `AuthBuilder::methods` a wrong one is an error of `build`"
            );
        }
    }

    /// Decides a call by what the authenticator found. `Err` is what a caller who may not is told.
    pub(crate) fn decide(
        &self,
        found: Result<Outcome, String>,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        let cached = matches!(found, Ok(Outcome::Identified { cached: true, .. }));
        let judged = self.judge(found, ruled, head, rpc);
        self.conclude(judged, cached, ruled, head, rpc)
    }

    /// Tells of what was found, and does it.
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
        if let Some(identity) = &identity {
            head.extensions.insert(identity.clone());
        }
        Ok(Passed { identity })
    }

    fn judge(
        &self,
        found: Result<Outcome, String>,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Judged {
        let (failure, identity) = match found {
            Ok(Outcome::Identified { identity, .. }) => match self.expired(&identity) {
                Some(failure) => (failure, None),
                None => match self.may(ruled, &identity, head, rpc) {
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

    fn may(
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

    /// Whatever an authenticator says, who has expired is not let in.
    fn expired(&self, identity: &Identity) -> Option<Failure> {
        let expires_at = identity.expires_at()?;
        (expires_at <= self.clock.now()).then(|| Failure::new(Reason::TokenExpired, "expiry"))
    }

    /// A piece that is not ours broke: nobody passes for that.
    fn panicked(
        &self,
        panic: String,
        check: &'static str,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Failure {
        let panic = self.secrets.scrubbed_text(panic, &head.headers);
        tracing::error!(
            rpc.method = &*rpc.shown(),
            exception.message = %sanitize(&panic),
            auth.check = check,
            "a panic in authentication, the call is refused"
        );
        CallInfo::get_or_insert(Side::Server, &mut head.extensions).set_panic(panic);
        Failure::new(Reason::VerifierUnavailable, check).received("a panic")
    }

    /// `Ok` in shadow mode: it is only told.
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
            rpc.method = &*rpc.shown(),
            shadow = self.shadow,
            reason = failure.reason().as_str(),
            auth.check = failure.check(),
            auth.expected = failure.expected_value(),
            auth.received = failure.received_value(),
            "refused"
        );
        if rpc.is_health() && !self.told_of_health.swap(true, Ordering::Relaxed) {
            tracing::warn!(
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

    /// A hook that panics changes nothing of what was decided.
    pub(crate) fn tell(&self, decision: &Decision<'_>) {
        let Some(hook) = &self.hook else { return };
        if guarded(|| hook(decision)).is_err() {
            tracing::error!("the hook of an `AuthLayer` panicked");
        }
    }
}

/// There is no such method, for all that is known here.
fn unserved(rpc: &Rpc) -> Failure {
    Failure::new(Reason::MethodUnknown, "method").received(&*rpc.shown())
}

/// No authenticator found what it looks for.
fn missing(headers: &HeaderMap) -> Failure {
    let missing = Failure::new(Reason::CredentialsMissing, "credentials");
    match headers.contains_key(http::header::AUTHORIZATION) {
        true => missing.received("an authorization of another scheme"),
        false => missing,
    }
}

/// Puts the failed check into the call's log line.
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

/// Whatever identity is there was not found by this layer, for this call.
pub(crate) fn forget(extensions: &mut Extensions) {
    extensions.remove::<Identity>();
}
