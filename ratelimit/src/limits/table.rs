//! The rules of a layer as they are enforced.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tonic_call::{Matches, MethodTable, Methods, Rpc, UncalledRules};

use super::enforced::Enforced;
use super::rules::{Limits, Rule};
use super::sharing::Sharing;
use crate::build_error::BuildError;

/// The rules of a layer, until they are replaced.
#[derive(Debug)]
pub(crate) struct Table {
    rules: MethodTable<Arc<[Enforced]>>,
    /// The rules that no call has matched; `None` if `methods` has shown that each can match.
    pub(crate) uncalled: Option<UncalledRules>,
}

impl Table {
    /// Makes limits that can be enforced. A limit that stays the same takes over the state of the one in `previous`.
    pub(crate) fn new(
        limits: &Limits,
        methods: Option<&Methods>,
        max_keys: usize,
        sharing: Sharing<'_>,
        previous: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let firsts = firsts(limits);
        let mut pooled = HashMap::new();
        let mut taken = HashSet::new();
        let rules = limits.0.try_map(|matches, rule| {
            let id = rule.pool.as_ref().map(Arc::as_ptr);
            if let Some(limits) = id.and_then(|id| pooled.get(&id)) {
                return Ok(Arc::clone(limits));
            }
            let previous = previous.map_or(&[][..], |previous| previous.of(matches));
            // Rules that do not share their limits any more do not take over the same state.
            let free = previous.iter().filter(|limit| !taken.contains(&limit.store.id()));
            let first = id.and_then(|id| firsts.get(&id).copied()).unwrap_or(matches);
            let limits = enforced(rule, methods.is_some(), max_keys, &free.collect::<Vec<_>>())
                .and_then(|limits| share(limits, rule, first, sharing, max_keys))
                .map_err(|(name, wrong)| BuildError::Limit {
                    of: matches.to_string(),
                    name,
                    wrong,
                })?;
            taken.extend(limits.iter().map(|limit| limit.store.id()));
            pooled.extend(id.map(|id| (id, Arc::clone(&limits))));
            Ok(limits)
        })?;
        let checked = methods.map_or_else(|| rules.check_names(), |methods| rules.check(methods));
        checked.map_err(BuildError::NeverMatches)?;
        let uncalled = methods.is_none().then(|| UncalledRules::of(&rules));
        Ok(Self { rules, uncalled })
    }

    /// The limits of a call, in the order in which they are locked.
    pub(crate) fn limits(&self, rpc: &Rpc, include_infrastructure: bool) -> &[Enforced] {
        match self.rules.rule(rpc) {
            Some(limits) => limits,
            None if !include_infrastructure && rpc.is_infrastructure() => &[],
            None => self.of(Matches::Default),
        }
    }

    /// Every limit, with what its rule matches.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Matches<'_>, &Enforced)> {
        self.rules
            .iter()
            .flat_map(|(matches, limits)| limits.iter().map(move |limit| (matches, limit)))
    }

    fn of(&self, matches: Matches<'_>) -> &[Enforced] {
        self.rules.of(matches).map_or(&[], |limits| limits)
    }
}

/// What the first of the rules that share their limits matches, so that each replica names such limits alike.
fn firsts(limits: &Limits) -> HashMap<*const (), Matches<'_>> {
    let mut firsts = HashMap::new();
    for (matches, rule) in limits.0.iter() {
        if let Some(id) = rule.pool.as_ref().map(Arc::as_ptr) {
            let first = firsts.entry(id).or_insert(matches);
            *first = matches.min(*first);
        }
    }
    firsts
}

/// The limits of a rule; the error is the name of one of them, and what is wrong with it.
fn enforced(
    rule: &Rule,
    has_methods: bool,
    max_keys: usize,
    previous: &[&Enforced],
) -> Result<Vec<Enforced>, (String, String)> {
    let mut all: Vec<Enforced> = Vec::new();
    for limit in &rule.limits {
        let wrong = |wrong: &str| (limit.name(), wrong.to_owned());
        let mut limit = Enforced::new(limit, max_keys).map_err(|fault| wrong(&fault))?;
        if all.iter().any(|other| other.name == limit.name) {
            return Err(wrong("has the name of another limit: set a name with `named`"));
        }
        if limit.per_method && !has_methods {
            return Err(wrong("is per method, and needs `methods`"));
        }
        if let Some(same) = previous.iter().find(|previous| previous.counts_as(&limit)) {
            limit.store = Arc::clone(&same.store);
        }
        all.push(limit);
    }
    Ok(all)
}

/// Shares the quotas that are to be shared. Limits are in the order of the rule.
fn share(
    mut limits: Vec<Enforced>,
    rule: &Rule,
    matches: Matches<'_>,
    sharing: Sharing<'_>,
    max_keys: usize,
) -> Result<Arc<[Enforced]>, (String, String)> {
    for (enforced, limit) in limits.iter_mut().zip(&rule.limits) {
        sharing.apply(enforced, limit, matches, max_keys).map_err(|wrong| (limit.name(), wrong))?;
    }
    sharing.check(&limits)?;
    // All calls lock in this order.
    limits.sort_by_key(|limit| limit.store.id());
    Ok(limits.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Key, Quota};

    #[test]
    fn limits_are_locked_in_one_order_however_they_are_written() {
        let quota = |name: &str| Quota::per_second(5).by(Key::peer()).named(name);
        let table = |names: &[&str], previous| {
            let rule: Rule = names.iter().map(|name| quota(name)).collect();
            Table::new(&Limits::of(rule), None, 10, Sharing::default(), previous)
                .expect("possible limits")
        };
        let order = |table: &Table| {
            let limits = table.of(Matches::Default).iter();
            let named: Vec<_> =
                limits.map(|limit| (limit.store.id(), limit.name.clone())).collect();
            assert!(named.is_sorted_by_key(|(id, _)| id), "{named:?}");
            named
        };
        let first = table(&["a", "b"], None);
        let second = table(&["c", "b", "a"], Some(&first));
        let (before, after) = (order(&first), order(&second));
        assert_eq!(after[..2], before);
        assert_eq!(&*after[2].1, "c");
    }
    #[cfg(feature = "redis")]
    mod in_a_cluster {
        use super::*;
        use crate::limits::InFlight;
        use crate::shared::RedisStore;

        fn built(rule: impl Into<Rule>, store: &RedisStore) -> Result<Table, String> {
            let limits = Limits::of(Quota::per_second(1)).service("orders.v1.Orders", rule);
            Table::new(&limits, None, 10, Sharing::of(Some(store)), None)
                .map_err(|error| error.to_string())
        }

        #[test]
        fn all_shared_quotas_of_a_rule_need_the_same_key() {
            let store = RedisStore::cluster(["redis://localhost"]).expect("a URL");
            let one = RedisStore::connect("redis://localhost").expect("a URL");
            let each = || Quota::per_second(5).by(Key::principal());
            let all = || Quota::per_second(50);
            let by_function = || Quota::per_second(7).by(Key::function(|_, _| Some(7)));
            let error = built([each(), all()], &store).expect_err("two keys");
            for part in ["orders.v1.Orders", "5/s:principal", "50/s:global", "`local`"] {
                assert!(error.contains(part), "{error}");
            }
            assert!(built([by_function(), by_function()], &store).is_err());
            assert!(built([each(), all()], &one).is_ok());
            assert!(built([each(), all().local()], &store).is_ok());
            assert!(built((each(), InFlight::new(5)), &store).is_ok());
            assert!(built([each(), each().burst(90).named("burst")], &store).is_ok());
        }

        #[test]
        fn a_prefix_does_not_decide_the_slot() {
            let store = RedisStore::cluster(["redis://localhost"]).expect("a URL").prefix("{p}");
            let error = built(Quota::per_second(5), &store).expect_err("a tag");
            assert!(error.contains("prefix"), "{error}");
        }
    }
}
