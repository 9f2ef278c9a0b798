//! How a layer was built, and what it decides.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, HeaderMap, request};
use tonic::Status;
use tonic_call::{CallInfo, Kind, MethodTable, Refusal, Rejection, Rpc, Side, printable};

use crate::access::Access;
use crate::answers::Answers;
use crate::authenticate::{Authenticate, Outcome};
use crate::clock::Clock;
use crate::decision::{Decision, Hook, Verdict};
use crate::expiry::Expiring;
use crate::failure::{Failure, Reason};
use crate::guarded::guarded;
use crate::identity::Identity;
use crate::secrets::Secrets;

/// The short name of this layer, in logs and metrics.
pub(crate) const BY: &str = "auth";

pub(crate) struct Settings {
    pub(crate) authenticator: Box<dyn Authenticate>,
    pub(crate) table: MethodTable<Access>,
    pub(crate) default: Access,
    pub(crate) public_health: bool,
    pub(crate) public_reflection: bool,
    /// The methods that there are, if that is known, and the kind of each.
    pub(crate) kinds: Option<MethodTable<Option<Kind>>>,
    pub(crate) shadow: bool,
    pub(crate) answers: Answers,
    pub(crate) secrets: Secrets,
    pub(crate) remove_credentials: bool,
    pub(crate) end_streams: bool,
    pub(crate) clock: Clock,
    pub(crate) hook: Option<Hook>,
    /// Whether an operator was told that health probes are refused.
    pub(crate) told_of_health: AtomicBool,
}

/// Who may call a method.
#[derive(Clone, Copy)]
pub(crate) enum Ruled<'a> {
    By(&'a Access),
    /// There is no such method: nobody.
    Unknown,
}

/// A caller who may.
pub(crate) struct Passed {
    /// `None` where the caller is not known, and passes all the same.
    pub(crate) identity: Option<Identity>,
}

impl Settings {
    /// Who may call that method.
    pub(crate) fn ruled(&self, rpc: &Rpc) -> Ruled<'_> {
        static PUBLIC: std::sync::LazyLock<Access> = std::sync::LazyLock::new(Access::public);
        if !rpc.is_well_formed() {
            return Ruled::Unknown;
        }
        if let Some(access) = self.table.rule(rpc) {
            return match self.is_undescribed(rpc) {
                true => Ruled::Unknown,
                false => Ruled::By(access),
            };
        }
        let public = match rpc.is_health() {
            true => self.public_health,
            false => self.public_reflection && rpc.is_infrastructure(),
        };
        if public {
            return Ruled::By(&PUBLIC);
        }
        if self.is_undescribed(rpc) { Ruled::Unknown } else { Ruled::By(&self.default) }
    }

    /// Whether there is certainly no such method. The standard health and reflection services are
    /// rarely in the descriptor set.
    fn is_undescribed(&self, rpc: &Rpc) -> bool {
        let Some(kinds) = &self.kinds else { return false };
        kinds.rule(rpc).is_none() && !rpc.is_infrastructure()
    }

    /// Whether a call of that method may be ended when the credentials expire: not if it has one
    /// message either way, which was decided when it came.
    pub(crate) fn ends_at_expiry(&self, rpc: &Rpc) -> bool {
        let kind = self.kinds.as_ref().and_then(|kinds| *kinds.get(rpc));
        self.end_streams && kind != Some(Kind::Unary)
    }

    /// Lets a call pass that needs no caller.
    pub(crate) fn public(&self, head: &request::Parts, rpc: &Rpc) -> Passed {
        self.tell(&Decision {
            verdict: Verdict::Public,
            shadow: false,
            cached: false,
            rpc,
            identity: None,
            failure: None,
            extensions: Some(&head.extensions),
        });
        Passed { identity: None }
    }

    /// Decides a call by what the authenticator found. `Err` is what a caller who may not is told.
    pub(crate) fn decide(
        &self,
        found: Result<Outcome, String>,
        ruled: Ruled<'_>,
        head: &mut request::Parts,
        rpc: &Rpc,
    ) -> Result<Passed, Status> {
        let mut cached = false;
        let mut identity = None;
        let allowed = match found {
            Ok(Outcome::Identified { identity: found, cached: from_cache }) => {
                cached = from_cache;
                match self.expired(&found) {
                    Some(failure) => Err(failure),
                    None => self.may(ruled, identity.insert(found), head, rpc),
                }
            }
            Ok(Outcome::Absent) => Err(self.missing(&head.headers)),
            Ok(Outcome::Refused(failure) | Outcome::Unavailable(failure)) => Err(failure),
            Err(panic) => Err(self.panicked(panic, "authenticator", head, rpc)),
        };
        let failure = allowed.err().map(|failure| self.secrets.scrubbed(failure, &head.headers));
        self.tell(&Decision {
            verdict: if failure.is_some() { Verdict::Refused } else { Verdict::Passed },
            shadow: self.shadow && failure.is_some(),
            cached,
            rpc,
            identity: identity.as_ref(),
            failure: failure.as_ref(),
            extensions: Some(&head.extensions),
        });
        let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
        if let Some(identity) = &identity {
            info.set_principal(identity.principal());
        }
        match failure {
            Some(failure) => self.refuse(&failure, ruled, &info, head, rpc)?,
            None => debug_assert!(identity.is_some(), "who is not known is refused"),
        }
        if let Some(identity) = &identity {
            head.extensions.insert(identity.clone());
        }
        Ok(Passed { identity })
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
            Ruled::Unknown => {
                Err(Failure::new(Reason::MethodUnknown, "method").received(rpc.path()))
            }
        }
    }

    /// Whatever an authenticator says, who has expired is not let in.
    fn expired(&self, identity: &Identity) -> Option<Failure> {
        let expires_at = identity.expires_at()?;
        (expires_at <= self.clock.now()).then(|| Failure::new(Reason::TokenExpired, "expiry"))
    }

    /// No authenticator found what it looks for.
    fn missing(&self, headers: &HeaderMap) -> Failure {
        let missing = Failure::new(Reason::CredentialsMissing, "credentials");
        match headers.contains_key(http::header::AUTHORIZATION) {
            true => missing.received("an authorization of another scheme"),
            false => missing,
        }
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
            rpc.method = %printable(rpc.path()),
            exception.message = %printable(&panic),
            check,
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
            rpc.method = %printable(rpc.path()),
            shadow = self.shadow,
            reason = failure.reason().as_str(),
            check = failure.check(),
            expected = failure.expected_value(),
            received = failure.received_value(),
            "refused"
        );
        if rpc.is_health() && !self.told_of_health.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason = failure.reason().as_str(),
                "a health probe was refused: if probes have no credentials, call \
                 `AuthBuilder::public_health`"
            );
        }
        let reason = failure.reason();
        if self.shadow {
            info.add_refusal(Refusal::shadow(BY, reason.as_str()));
            return Ok(());
        }
        let access = match ruled {
            Ruled::By(access) => Some(access),
            Ruled::Unknown => None,
        };
        let status = self.answers.status(reason, access);
        Err(Rejection::new(Refusal::new(BY, reason.as_str()), status).into_status(&head.extensions))
    }

    /// Ends a call that had passed, because its credentials have expired; in shadow mode, only tells.
    pub(crate) fn expire(&self, call: &Expiring) {
        let failure = Failure::new(Reason::TokenExpired, "expiry");
        let reason = failure.reason().as_str();
        if let Some(info) = &call.info {
            explain(&failure, info);
        }
        let ended = match (&call.cut, &call.info) {
            (Some(cut), _) => {
                let status = self.answers.status(failure.reason(), None);
                cut.refuse(&Refusal::new(BY, reason), status)
            }
            (None, Some(info)) => {
                info.add_refusal(Refusal::shadow(BY, reason));
                true
            }
            (None, None) => true,
        };
        if ended {
            self.tell(&Decision {
                verdict: Verdict::Ended,
                shadow: self.shadow,
                cached: false,
                rpc: &call.rpc,
                identity: Some(&call.identity),
                failure: Some(&failure),
                extensions: None,
            });
        }
    }

    /// A hook that panics changes nothing of what was decided.
    fn tell(&self, decision: &Decision<'_>) {
        let Some(hook) = &self.hook else { return };
        if guarded(|| hook(decision)).is_err() {
            tracing::error!("the hook of an `AuthLayer` panicked");
        }
    }
}

/// Puts the failed check into the call's log line.
fn explain(failure: &Failure, info: &CallInfo) {
    info.add_field("auth.check", failure.check());
    if let Some(expected) = failure.expected_value() {
        info.add_field("auth.expected", expected.to_owned());
    }
    if let Some(received) = failure.received_value() {
        info.add_field("auth.received", received.to_owned());
    }
}

/// Whatever identity is there was not found by this layer, for this call.
pub(crate) fn forget(extensions: &mut Extensions) {
    extensions.remove::<Identity>();
}
