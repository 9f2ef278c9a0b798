//! Decides one call.

use std::hash::Hash as _;
use std::sync::atomic::Ordering;

use http::header::RETRY_AFTER;
use http::request;
use smallvec::SmallVec;
use tonic::Status;
use tonic_call::{
    CallInfo, KeyHash, Rejection, Rpc, UncalledRules, guarded, is_grpc, is_preflight,
};

use super::caller::{Caller, KeyHasher, Seeds, panicked};
use super::decision::{Decision, Reason};
use super::fields::Fields;
use super::refusal::{Refusal, milliseconds};
use super::take::{Check, Checks, take_all_or_none};
use crate::layer::{LAYER, Permits, Settings};
use crate::limits::{Enforced, Measure, Table};

/// A call that passes.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Released when the call ends.
    pub(crate) permits: Option<Permits>,
    /// Added to the head of the response.
    pub(crate) fields: Option<Box<Fields>>,
}

impl Settings {
    /// Decides a call. The error is the answer to a refused caller.
    pub(crate) fn decide(&self, head: &request::Parts) -> Result<Passed, Status> {
        if is_preflight(head) {
            return Err(self.refuse_preflight(head));
        }
        // By the path alone, which is what the router matches.
        let rpc = Rpc::from_uri(&head.uri);
        let table = self.table.load();
        let limits = table.limits(&rpc, self.include_infrastructure);
        if limits.is_empty() {
            called(&table, &rpc);
            return Ok(Passed::default());
        }
        let mut caller = self.caller(&self.seeds, &rpc, head);
        let passed = match limits {
            // Most rules have one limit.
            [limit] => self.decide_by(&mut [self.check(limit, &mut caller)], &rpc, head)?,
            _ => {
                let check = |limit| self.check(limit, &mut caller);
                self.decide_by(&mut limits.iter().map(check).collect::<Checks<'_>>(), &rpc, head)?
            }
        };
        called(&table, &rpc);
        Ok(passed)
    }

    /// Decides a call by these limits.
    fn decide_by(
        &self,
        checks: &mut [Check<'_>],
        rpc: &Rpc,
        head: &request::Parts,
    ) -> Result<Passed, Status> {
        let now = self.clock.now();
        let passes = take_all_or_none(checks, now);
        self.conclude(checks, passes, now, rpc, head)
    }

    /// Reports a decision, and makes what it results in.
    pub(super) fn conclude(
        &self,
        checks: &[Check<'_>],
        passes: bool,
        now: u64,
        rpc: &Rpc,
        head: &request::Parts,
    ) -> Result<Passed, Status> {
        // From here on the calls in flight are counted down again in any case, even after a panic.
        let permits = permits(checks);
        self.maintain_stores(checks, now);
        self.report_shadows(checks, now, rpc, head);
        if !passes {
            return Err(self.refuse(checks, now, rpc, head));
        }
        self.report_passed(checks, now, rpc, head);
        let fields = self.fields_on_accepted.then(|| Box::new(fields(checks, now)));
        Ok(Passed { permits, fields: fields.filter(|fields| !fields.is_empty()) })
    }

    /// A CORS layer outside should answer preflights. tonic would run the method for one.
    fn refuse_preflight(&self, head: &request::Parts) -> Status {
        if !self.warned_of_preflights.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tonic_ratelimit_layer",
                "a CORS preflight was refused: put the CORS layer outside the `RateLimitLayer`"
            );
        }
        let status = Status::permission_denied("CORS preflights are not served here");
        let refusal = tonic_call::Refusal::new(LAYER, "PREFLIGHT");
        Rejection::new(refusal, status).into_status(&head.extensions)
    }

    pub(super) fn caller<'c, H: KeyHasher>(
        &'c self,
        seeds: &'c H,
        rpc: &'c Rpc,
        head: &'c request::Parts,
    ) -> Caller<'c, H> {
        Caller {
            seeds,
            proxies: &self.proxies,
            hints: &self.hints,
            rpc,
            head,
            peer: None,
            principal: None,
        }
    }

    /// Computes key and cost. This is done for all limits before anything is locked: functions of the user may run
    /// long.
    pub(super) fn check<'a>(
        &self,
        limit: &'a Enforced,
        caller: &mut Caller<'_, Seeds>,
    ) -> Check<'a> {
        let key = self.key(limit, caller);
        self.check_key(limit, key, caller.rpc, caller.head)
    }

    /// The key of a call, for a limit.
    pub(super) fn key<H: KeyHasher>(
        &self,
        limit: &Enforced,
        caller: &mut Caller<'_, H>,
    ) -> H::Hash {
        let key = caller.hash(&limit.key);
        self.key_of_limit(limit, key, caller)
    }

    /// The key for a limit, which can be per method.
    pub(super) fn key_of_limit<H: KeyHasher>(
        &self,
        limit: &Enforced,
        key: H::Hash,
        caller: &Caller<'_, H>,
    ) -> H::Hash {
        if limit.per_method { self.of_method(key, caller.seeds, caller.rpc) } else { key }
    }

    pub(super) fn check_key<'a>(
        &self,
        limit: &'a Enforced,
        key: KeyHash,
        rpc: &Rpc,
        head: &request::Parts,
    ) -> Check<'a> {
        let cost = match &limit.measure {
            Measure::Calls { cost, .. } => {
                cost.of(rpc, head, |panic| panicked(panic, "cost", rpc, head))
            }
            Measure::InFlight { .. } => Some(std::num::NonZeroU32::MIN),
        };
        Check::new(limit, key, cost)
    }

    /// The key for one method. Methods that are not in the descriptor set share one: callers can invent them.
    fn of_method<H: KeyHasher>(&self, key: H::Hash, seeds: &H, rpc: &Rpc) -> H::Hash {
        let is_method = self.methods.as_ref().is_some_and(|methods| methods.contains(rpc));
        seeds.hash(|mut hasher| {
            key.hash(&mut hasher);
            if is_method {
                hasher.write(rpc.full().as_bytes());
            }
            true
        })
    }

    /// Sweeps stores, and warns when one is full.
    fn maintain_stores(&self, checks: &[Check<'_>], now: u64) {
        for check in checks {
            if check.wants_sweep {
                check.limit.sweep(now);
            }
            if check.overflowed && check.limit.store.is_first_warning() {
                tracing::warn!(
                    target: "tonic_ratelimit_layer",
                    {
                        ratelimit.limit = &*check.limit.name,
                        ratelimit.key = check.limit.key.kind(),
                        max_keys = self.max_keys,
                    },
                    "a limit has reached its maximum of keys: new keys share one bucket"
                );
            }
        }
    }

    /// Reports the shadow limits that would have refused the call.
    fn report_shadows(&self, checks: &[Check<'_>], now: u64, rpc: &Rpc, head: &request::Parts) {
        for check in checks.iter().filter(|check| check.limit.shadow) {
            let Some(refusal) = Refusal::of(std::iter::once(check)) else { continue };
            self.report_refusal(&refusal, now, rpc, head);
            if let Some(info) = CallInfo::of(&head.extensions) {
                info.add_refusal(tonic_call::Refusal::shadow(LAYER, refusal.reason.as_str()));
            }
        }
    }

    fn refuse(&self, checks: &[Check<'_>], now: u64, rpc: &Rpc, head: &request::Parts) -> Status {
        let refuses = |check: &&Check<'_>| check.refused().is_some() && !check.limit.shadow;
        let refusing: SmallVec<[&Check<'_>; 4]> = checks.iter().filter(refuses).collect();
        let Some(refusal) = Refusal::of(refusing.iter().copied()) else {
            // Not reached: a call that does not pass was refused by a limit.
            return Status::resource_exhausted("too many calls");
        };
        self.report_refusal(&refusal, now, rpc, head);
        let mut status = refusal.status(&self.domain, &refusing, now);
        if is_grpc(&head.headers) != Some(true)
            && let Some(seconds) = refusal.retry_after()
        {
            let mut headers = std::mem::take(status.metadata_mut()).into_headers();
            headers.insert(RETRY_AFTER, seconds);
            *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        }
        let refused = tonic_call::Refusal::new(LAYER, refusal.reason.as_str());
        Rejection::new(refused, status).into_status(&head.extensions)
    }

    fn report_refusal(&self, refusal: &Refusal<'_>, now: u64, rpc: &Rpc, head: &request::Parts) {
        let limit = refusal.by.limit;
        let wait_ms = refusal.wait.map(milliseconds);
        tracing::debug!(
            target: "tonic_ratelimit_layer",
            {
                rpc.method = &*rpc.shown(),
                shadow = limit.shadow,
                reason = refusal.reason.as_str(),
                ratelimit.limit = &*limit.name,
                ratelimit.key = limit.key.kind(),
                ratelimit.wait_ms = wait_ms,
            },
            "refused"
        );
        let info = CallInfo::of(&head.extensions);
        if let (Some(info), true) = (info, limit.shadow) {
            info.add_field("ratelimit.shadow", limit.name.to_string());
        } else if let Some(info) = info {
            info.add_field("ratelimit.limit", limit.name.to_string());
            info.add_field("ratelimit.key", limit.key.kind());
            if let Some(wait_ms) = wait_ms {
                info.add_field("ratelimit.wait_ms", wait_ms);
            }
        }
        self.report(refusal.by, Some(refusal.reason), refusal.wait, now, rpc, head);
    }

    /// Reports the limit that has the fewest calls left.
    fn report_passed(&self, checks: &[Check<'_>], now: u64, rpc: &Rpc, head: &request::Parts) {
        if self.hook.is_none() {
            return;
        }
        let enforced = checks.iter().filter(|check| !check.limit.shadow);
        if let Some(tightest) = enforced.min_by_key(|check| check.remaining(now)).or(checks.first())
        {
            self.report(tightest, None, None, now, rpc, head);
        }
    }

    /// Calls the hook. A panic in it does not change the decision.
    pub(super) fn report(
        &self,
        check: &Check<'_>,
        reason: Option<Reason>,
        wait: Option<std::time::Duration>,
        now: u64,
        rpc: &Rpc,
        head: &request::Parts,
    ) {
        let Some(hook) = &self.hook else { return };
        let decision = Decision {
            reason,
            shadow: reason.is_some() && check.limit.shadow,
            rpc,
            limit: &check.limit.name,
            key: check.limit.key.kind(),
            remaining: check.remaining(now),
            wait,
            source: check.source,
            extensions: &head.extensions,
        };
        if guarded(|| hook(&decision)).is_err() {
            tracing::error!(target: "tonic_ratelimit_layer", "the hook of a `RateLimitLayer` panicked");
        }
    }
}

/// Notes that a call passes, for the rules that no call has matched.
pub(super) fn called(table: &Table, rpc: &Rpc) {
    if let Some(rules) = table.uncalled.as_ref().and_then(|rules| rules.called(rpc)) {
        tracing::info!(
            target: "tonic_ratelimit_layer",
            calls = UncalledRules::CALLS,
            rules,
            "no call has matched these rules for methods and services: check their names. With \
             `RateLimitBuilder::methods` a wrong name is an error of `build`"
        );
    }
}

fn permits(checks: &[Check<'_>]) -> Option<Permits> {
    let mut permits = Permits::default();
    for check in checks {
        if let (Measure::InFlight { .. }, Some(place)) = (&check.limit.measure, check.taken) {
            permits.add(&check.limit.store, place);
        }
    }
    (!permits.is_empty()).then_some(permits)
}

fn fields(checks: &[Check<'_>], now: u64) -> Fields {
    let mut fields = Fields::default();
    for check in checks.iter().filter(|check| !check.limit.shadow) {
        let limit = check.limit;
        fields.add(&limit.name, &limit.policy, check.remaining(now), check.full_in(now));
    }
    fields
}
