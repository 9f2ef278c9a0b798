//! Decides a call that has quotas which replicas share.

use std::sync::Arc;
use std::time::Instant;

use http::request;
use smallvec::SmallVec;
use tonic::Status;
use tonic_call::{CallInfo, Rejection, Rpc, is_preflight};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::call::{Passed, called};
use super::caller::KeyHasher as _;
use super::decision::{Reason, Source};
use super::refusal::UNAVAILABLE;
use super::take::{Check, Checks, look_at_all, take_all_or_none};
use crate::layer::{LAYER, Settings};
use crate::limits::Table;
use crate::shared::{Ask, Fallback, RedisStore};

/// A call that has shared quotas.
pub(crate) struct Shared {
    settings: Arc<Settings>,
    table: Arc<Table>,
    rpc: Rpc,
    store: RedisStore,
}

impl Settings {
    /// Whether a call has shared quotas: its decision then takes a round trip.
    pub(crate) fn shared(self: &Arc<Self>, head: &request::Parts) -> Option<Shared> {
        let store = self.store.as_ref()?;
        let (table, rpc) = (self.table.load(), Rpc::from_uri(&head.uri));
        let limits = table.limits(&rpc, self.include_infrastructure);
        if is_preflight(head) || limits.iter().all(|limit| limit.share.is_none()) {
            return None;
        }
        let (settings, table) = (Arc::clone(self), Arc::clone(&table));
        Some(Shared { settings, table, rpc, store: store.clone() })
    }
}

impl Shared {
    /// Decides the call. The error is the answer to a refused caller.
    pub(crate) async fn decide(self, head: &request::Parts) -> Result<Passed, Status> {
        let decided = self.decide_by_all(head).await;
        if decided.is_ok() {
            called(&self.table, &self.rpc);
        }
        decided
    }

    async fn decide_by_all(&self, head: &request::Parts) -> Result<Passed, Status> {
        let Self { settings, rpc, .. } = self;
        let (mut local, mut shared, asks) = self.checks(head);
        // What this process refuses takes nothing from the shared quotas, and no round trip.
        let now = settings.clock.now();
        if !local.is_empty() && !look_at_all(&mut local, now) {
            note(head, Source::Local);
            return settings.conclude(&local, false, now, rpc, head);
        }
        let connection = self.store.remembered_connection();
        if connection
            .is_some_and(|connection| self.is_refused_by_memory(&mut shared, connection, now))
        {
            note(head, Source::Remembered);
            local.append(&mut shared);
            return settings.conclude(&local, false, now, rpc, head);
        }
        let (asked, answer) = (now, self.store.decide(&asks).await);
        let now = settings.clock.now();
        let Some(answer) = answer else { return self.fall_back(local, shared, now, head) };
        note(head, Source::Redis);
        for (check, full_in) in shared.iter_mut().zip(answer.full_in) {
            check.decided(full_in, answer.passes, now);
            if let Some(connection) = connection {
                check.remember(connection, asked, now);
            }
        }
        // If a local limit is used up meanwhile, the shared quotas have counted a call that does not pass.
        let passes = answer.passes && take_all_or_none(&mut local, now);
        local.append(&mut shared);
        settings.conclude(&local, passes, now, rpc, head)
    }

    /// Whether Redis would refuse the call, by what it has said on this connection.
    fn is_refused_by_memory(&self, shared: &mut [Check<'_>], connection: u64, now: u64) -> bool {
        let began = Instant::now();
        let mut is_refused = false;
        for check in shared {
            is_refused |= check.is_refused_by_memory(connection, now);
        }
        if is_refused {
            self.store.report(Source::Remembered.as_str(), began.elapsed());
        }
        is_refused
    }

    /// The checks of local limits, those of shared quotas, and what to ask for the latter.
    fn checks(&self, head: &request::Parts) -> (Checks<'_>, Checks<'_>, SmallVec<[Ask; 4]>) {
        let Self { settings, rpc, store, .. } = self;
        let mut seeded = settings.caller(&settings.seeds, rpc, head);
        let mut stable = settings.caller(store.digest(), rpc, head);
        let (mut local, mut shared) = (Checks::new(), Checks::new());
        let mut asks = SmallVec::new();
        let mut tag = None;
        for limit in self.table.limits(rpc, settings.include_infrastructure) {
            let Some(share) = &limit.share else {
                local.push(settings.check(limit, &mut seeded));
                continue;
            };
            let key = stable.hash(&limit.key);
            if store.is_cluster() {
                // All shared quotas of the rule have the same key.
                tag.get_or_insert_with(|| store.digest().hash_short((share.rule, key)));
            }
            let key = settings.key_of_limit(limit, key, &stable);
            let seeded = settings.seeds.hash_short(key);
            let check = settings.check_key(limit, seeded, rpc, head);
            let hash = store.digest().hash_short((share.id, key));
            asks.extend(check.ask(store.key(tag, hash)));
            shared.push(check);
        }
        (local, shared, asks)
    }

    /// Decides without Redis.
    fn fall_back<'a>(
        &'a self,
        mut local: Checks<'a>,
        mut shared: Checks<'a>,
        now: u64,
        head: &request::Parts,
    ) -> Result<Passed, Status> {
        let Self { settings, rpc, .. } = self;
        match self.store.fallback_in_use() {
            Fallback::Local => {
                note(head, Source::Local);
                local.append(&mut shared);
                // All calls lock in this order.
                local.sort_by_key(|check| check.limit.store.id());
                let passes = take_all_or_none(&mut local, now);
                settings.conclude(&local, passes, now, rpc, head)
            }
            Fallback::Open => {
                note(head, Source::Open);
                let passes = take_all_or_none(&mut local, now);
                for check in &mut shared {
                    check.source = Source::Open;
                }
                local.append(&mut shared);
                settings.conclude(&local, passes, now, rpc, head)
            }
            Fallback::Closed => {
                note(head, Source::Closed);
                Err(self.refuse(&mut shared, now, head))
            }
        }
    }

    fn refuse(&self, shared: &mut [Check<'_>], now: u64, head: &request::Parts) -> Status {
        let Self { settings, rpc, .. } = self;
        let reason = Reason::LimiterUnavailable;
        if let Some(check) = shared.first_mut() {
            check.source = Source::Closed;
            settings.report(check, Some(reason), None, now, rpc, head);
        }
        let details = ErrorDetails::with_error_info(reason.as_str(), &settings.domain, []);
        let status = Status::with_error_details(reason.code(), UNAVAILABLE, details);
        let refusal = tonic_call::Refusal::new(LAYER, reason.as_str());
        Rejection::new(refusal, status).into_status(&head.extensions)
    }
}

fn note(head: &request::Parts, source: Source) {
    if let Some(info) = CallInfo::of(&head.extensions) {
        info.add_field("ratelimit.source", source.as_str());
    }
}
