//! Decides each call, and tells of it.

use std::sync::atomic::Ordering;

use http::header::RETRY_AFTER;
use http::request;
use smallvec::SmallVec;
use tonic::Status;
use tonic_call::{CallInfo, Rejection, Rpc, UncalledRules, is_grpc, is_preflight};

use crate::answer::{Refusal, milliseconds};
use crate::caller::{Caller, Hashed, panicked};
use crate::decision::{Decision, Reason};
use crate::fields::Fields;
use crate::permits::Permits;
use crate::settings::{BY, Settings};
use crate::settle::{Ask, Asks, settle};
use crate::table::{Limit, Measure, Table};
use tonic_call::guarded;

/// A call that may.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// What it gives back when it is over.
    pub(crate) permits: Option<Permits>,
    /// What its answer tells of its limits.
    pub(crate) fields: Option<Box<Fields>>,
}

impl Settings {
    /// Decides a call. `Err` is what a caller who may not is told.
    pub(crate) fn decide(&self, head: &request::Parts) -> Result<Passed, Status> {
        if is_preflight(head) {
            return Err(self.refuse_preflight(head));
        }
        // Not by what a generated client says of itself: here the path alone decides.
        let rpc = Rpc::from_uri(&head.uri);
        let table = self.table.load();
        let limits = table.limits(&rpc, self.include_infrastructure);
        if limits.is_empty() {
            called(&table, &rpc);
            return Ok(Passed::default());
        }
        let mut asks = self.asks(limits, &rpc, head);
        let now = self.clock.now();
        let passes = settle(&mut asks, now, false);
        // From here on what was taken is given back, whatever happens.
        let permits = permits(&asks);
        self.look_after(&asks, now);
        self.tell_shadows(&asks, now, &rpc, head);
        if !passes {
            return Err(self.refuse(&asks, now, &rpc, head));
        }
        called(&table, &rpc);
        self.tell_passed(&asks, now, &rpc, head);
        let fields = self.fields_on_accepted.then(|| Box::new(fields(&asks, now)));
        Ok(Passed { permits, fields: fields.filter(|fields| !fields.is_empty()) })
    }

    /// A CORS preflight is for a CORS layer outside to answer. Passed on, it would run the method, which no
    /// browser has asked for.
    fn refuse_preflight(&self, head: &request::Parts) -> Status {
        if !self.told_of_preflights.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a CORS preflight was refused: put the CORS layer outside the `RateLimitLayer`"
            );
        }
        let status = Status::permission_denied("CORS preflights are not served here");
        let refusal = tonic_call::Refusal::new(BY, "PREFLIGHT");
        Rejection::new(refusal, status).into_status(&head.extensions)
    }

    /// Finds out all that is asked before anything is locked: functions that are not ours may run long.
    fn asks<'a>(&self, limits: &'a [Limit], rpc: &Rpc, head: &request::Parts) -> Asks<'a> {
        let mut caller = Caller {
            seeds: &self.seeds,
            proxies: &self.proxies,
            hints: &self.hints,
            rpc,
            head,
            peer: None,
            principal: None,
        };
        let mut asks = Asks::new();
        for limit in limits {
            let mut key = caller.hash(&limit.key);
            if limit.per_method {
                key = self.of_method(key, rpc);
            }
            let cost = match &limit.measure {
                Measure::Calls { cost, .. } => {
                    cost.of(rpc, head, |panic| panicked(panic, "cost", rpc, head))
                }
                Measure::InFlight { .. } => Some(std::num::NonZeroU32::MIN),
            };
            asks.push(Ask::new(limit, key, cost));
        }
        asks
    }

    /// The key of a method's own bucket. Those that are not described share one: anybody can invent them.
    fn of_method(&self, key: Hashed, rpc: &Rpc) -> Hashed {
        let is_method = self.methods.as_ref().is_some_and(|methods| methods.contains(rpc));
        self.seeds.hash(|hasher| {
            hasher.write_u128(key);
            if is_method {
                hasher.write(rpc.full().as_bytes());
            }
            true
        })
    }

    /// Keeps stores small, and tells when one is full.
    fn look_after(&self, asks: &[Ask<'_>], now: u64) {
        for ask in asks {
            if ask.wants_tidying {
                ask.limit.store.tidy(now);
            }
            if ask.overflowed && ask.limit.store.is_to_be_told() {
                tracing::warn!(
                    ratelimit.limit = &*ask.limit.name,
                    ratelimit.key = ask.limit.key.kind(),
                    keys_at_most = self.keys_at_most,
                    "a limit has as many keys as it may have: new ones share what is left"
                );
            }
        }
    }

    /// Tells of the limits in shadow mode that would have refused the call.
    fn tell_shadows(&self, asks: &[Ask<'_>], now: u64, rpc: &Rpc, head: &request::Parts) {
        for ask in asks.iter().filter(|ask| ask.limit.shadow) {
            let Some(refusal) = Refusal::of(std::iter::once(ask)) else { continue };
            self.tell_refusal(&refusal, now, rpc, head);
            if let Some(info) = CallInfo::of(&head.extensions) {
                info.add_refusal(tonic_call::Refusal::shadow(BY, refusal.reason.as_str()));
            }
        }
    }

    fn refuse(&self, asks: &[Ask<'_>], now: u64, rpc: &Rpc, head: &request::Parts) -> Status {
        let refuses = |ask: &&Ask<'_>| ask.refused().is_some() && !ask.limit.shadow;
        let refusing: SmallVec<[&Ask<'_>; 4]> = asks.iter().filter(refuses).collect();
        let Some(refusal) = Refusal::of(refusing.iter().copied()) else {
            // Who does not pass was refused by one.
            return Status::resource_exhausted("too many calls");
        };
        self.tell_refusal(&refusal, now, rpc, head);
        let mut status = refusal.status(&self.domain, &refusing, now);
        if is_grpc(&head.headers) != Some(true)
            && let Some(seconds) = refusal.retry_after()
        {
            let mut headers = std::mem::take(status.metadata_mut()).into_headers();
            headers.insert(RETRY_AFTER, seconds);
            *status.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        }
        let refused = tonic_call::Refusal::new(BY, refusal.reason.as_str());
        Rejection::new(refused, status).into_status(&head.extensions)
    }

    fn tell_refusal(&self, refusal: &Refusal<'_>, now: u64, rpc: &Rpc, head: &request::Parts) {
        let limit = refusal.by.limit;
        let wait_ms = refusal.wait.map(milliseconds);
        tracing::debug!(
            rpc.method = &*rpc.shown(),
            shadow = limit.shadow,
            reason = refusal.reason.as_str(),
            ratelimit.limit = &*limit.name,
            ratelimit.key = limit.key.kind(),
            ratelimit.wait_ms = wait_ms,
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
        self.tell(refusal.by, Some(refusal.reason), refusal.wait, now, rpc, head);
    }

    /// Tells of the limit that lets the fewest more pass.
    fn tell_passed(&self, asks: &[Ask<'_>], now: u64, rpc: &Rpc, head: &request::Parts) {
        if self.hook.is_none() {
            return;
        }
        let enforced = asks.iter().filter(|ask| !ask.limit.shadow);
        if let Some(tightest) = enforced.min_by_key(|ask| ask.remaining(now)).or(asks.first()) {
            self.tell(tightest, None, None, now, rpc, head);
        }
    }

    /// A hook that panics changes nothing of what was decided.
    fn tell(
        &self,
        ask: &Ask<'_>,
        reason: Option<Reason>,
        wait: Option<std::time::Duration>,
        now: u64,
        rpc: &Rpc,
        head: &request::Parts,
    ) {
        let Some(hook) = &self.hook else { return };
        let decision = Decision {
            reason,
            shadow: reason.is_some() && ask.limit.shadow,
            rpc,
            limit: &ask.limit.name,
            key: ask.limit.key.kind(),
            remaining: ask.remaining(now),
            wait,
            extensions: &head.extensions,
        };
        if guarded(|| hook(&decision)).is_err() {
            tracing::error!("the hook of a `RateLimitLayer` panicked");
        }
    }
}

/// Takes note of a call that passes, for the rules that no call has matched.
fn called(table: &Table, rpc: &Rpc) {
    if let Some(rules) = table.uncalled.as_ref().and_then(|rules| rules.called(rpc)) {
        tracing::info!(
            calls = UncalledRules::CALLS,
            rules,
            "no call has matched these rules for methods and services: are their names right? With \
             `RateLimitBuilder::methods` a wrong one is an error of `build`"
        );
    }
}

fn permits(asks: &[Ask<'_>]) -> Option<Permits> {
    let mut permits = Permits::default();
    for ask in asks {
        if let (Measure::InFlight { .. }, Some(place)) = (&ask.limit.measure, ask.taken) {
            permits.add(&ask.limit.store, place);
        }
    }
    (!permits.is_empty()).then_some(permits)
}

fn fields(asks: &[Ask<'_>], now: u64) -> Fields {
    let mut fields = Fields::default();
    for ask in asks.iter().filter(|ask| !ask.limit.shadow) {
        let limit = ask.limit;
        fields.add(&limit.name, &limit.policy, ask.remaining(now), ask.full_in(now));
    }
    fields
}
