//! Limits as they are enforced: each possible, and with what is kept of its keys.

use std::sync::Arc;
use std::time::Duration;

use tonic_call::{MethodTable, Methods, Rpc, UncalledRules};

use crate::build_error::BuildError;
use crate::fields::is_printable;
use crate::in_flight::InFlight;
use crate::key::Key;
use crate::limits::{Described, Limits, Place, Rule};
use crate::pace::Pace;
use crate::quota::Cost;
use crate::store::{Kind, Store};

/// A refusal says the name several times, in headers of which clients take 8 KiB.
const NAME_AT_MOST: usize = 128;

/// The rules of a layer, until they are replaced.
#[derive(Debug)]
pub(crate) struct Table {
    rules: MethodTable<Arc<[Limit]>>,
    default: Arc<[Limit]>,
    /// Every rule, with what it is for.
    places: Vec<(Place, Arc<[Limit]>)>,
    /// The rules that no call has matched; `None` if `methods` has shown that each can match.
    pub(crate) uncalled: Option<UncalledRules>,
}

/// One limit, as it is enforced.
#[derive(Debug)]
pub(crate) struct Limit {
    pub(crate) measure: Measure,
    pub(crate) key: Key,
    pub(crate) name: Box<str>,
    pub(crate) shadow: bool,
    pub(crate) per_method: bool,
    /// What it lets pass, in words.
    pub(crate) words: Box<str>,
    /// The parameters of its `RateLimit-Policy`.
    pub(crate) policy: Box<str>,
    pub(crate) store: Arc<Store>,
}

/// What a limit counts.
#[derive(Clone)]
pub(crate) enum Measure {
    Calls { pace: Pace, cost: Cost },
    InFlight { at_most: u32, retry_after: Option<Duration> },
}

impl Table {
    /// Makes limits that can be enforced. What those before kept of a limit that is the same, it keeps.
    pub(crate) fn new(
        limits: &Limits,
        methods: Option<&Methods>,
        keys_at_most: usize,
        before: Option<&Self>,
    ) -> Result<Self, BuildError> {
        let default = (Place::Default, limits.default.clone());
        let mut places = Vec::new();
        for (place, rule) in limits.rules.iter().chain([&default]) {
            let before = before.map_or(&[][..], |before| before.at(place));
            let enforced = enforced(place, rule, methods, keys_at_most, before)?;
            places.push((place.clone(), enforced));
        }
        let mut table = MethodTable::new(Arc::default());
        let mut by_default: Arc<[Limit]> = Arc::default();
        for (place, limits) in &places {
            let limits = Arc::clone(limits);
            match place {
                Place::Default => by_default = limits,
                Place::Service(service) => table = table.service(service, limits),
                Place::Method(service, method) => table = table.method(service, method, limits),
            }
        }
        let checked = methods.map_or_else(|| table.check_names(), |methods| table.check(methods));
        checked.map_err(BuildError::NeverMatches)?;
        let uncalled = methods.is_none().then(|| UncalledRules::of(&table));
        Ok(Self { rules: table, default: by_default, places, uncalled })
    }

    /// The limits of a call, in the order in which they are locked.
    pub(crate) fn limits(&self, rpc: &Rpc, include_infrastructure: bool) -> &[Limit] {
        match self.rules.rule(rpc) {
            Some(limits) => limits,
            None if rpc.is_infrastructure() && !include_infrastructure => &[],
            None => &self.default,
        }
    }

    /// Every rule, with what it is for.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Place, &[Limit])> {
        self.places.iter().map(|(place, limits)| (place, &**limits))
    }

    fn at(&self, place: &Place) -> &[Limit] {
        let rule = self.places.iter().find(|(present, _)| present == place);
        rule.map_or(&[], |(_, limits)| limits)
    }
}

fn enforced(
    place: &Place,
    rule: &Rule,
    methods: Option<&Methods>,
    keys_at_most: usize,
    before: &[Limit],
) -> Result<Arc<[Limit]>, BuildError> {
    let mut all: Vec<Limit> = Vec::new();
    for described in &rule.limits {
        let wrong = |wrong: String| {
            Err(BuildError::Limit { of: place.to_string(), name: described.name(), wrong })
        };
        let mut limit = match described.enforced(keys_at_most) {
            Ok(limit) => limit,
            Err(fault) => return wrong(fault),
        };
        if all.iter().any(|other| other.name == limit.name) {
            return wrong("has the name of another: give it one by `named`".to_owned());
        }
        if limit.per_method && methods.is_none() {
            return wrong("is per method, and needs `methods`".to_owned());
        }
        if let Some(same) = before.iter().find(|before| before.counts_as(&limit)) {
            limit.store = Arc::clone(&same.store);
        }
        all.push(limit);
    }
    // All calls lock in this order.
    all.sort_by_key(|limit| limit.store.id());
    Ok(all.into())
}

impl Described {
    fn name(&self) -> String {
        match self {
            Self::Quota(quota) => quota.name(),
            Self::InFlight(in_flight) => in_flight.name(),
        }
    }

    /// The limit, with nothing kept of its keys; the error says what is wrong with it.
    fn enforced(&self, keys_at_most: usize) -> Result<Limit, String> {
        let name = self.name();
        if !is_printable(&name) {
            return Err("has a name that is not printable ASCII".to_owned());
        }
        if name.len() > NAME_AT_MOST {
            return Err(format!("has a name of more than {NAME_AT_MOST} bytes"));
        }
        let (measure, key, shadow, per_method) = match self {
            Self::Quota(quota) => {
                let (pace, cost) = quota.possible()?;
                (Measure::Calls { pace, cost }, &quota.key, quota.shadow, quota.per_method)
            }
            Self::InFlight(in_flight) => {
                if let Some(fault) = in_flight.fault() {
                    return Err(fault);
                }
                let InFlight { at_most, retry_after, .. } = *in_flight;
                let measure = Measure::InFlight { at_most, retry_after };
                (measure, &in_flight.key, in_flight.shadow, in_flight.per_method)
            }
        };
        if let Some(fault) = key.fault() {
            return Err(fault);
        }
        let kind = match measure {
            Measure::Calls { .. } => Kind::Times,
            Measure::InFlight { .. } => Kind::Counts,
        };
        let (words, policy) = match self {
            Self::Quota(quota) => {
                let (calls, seconds) = quota.window();
                (quota.words(), format!(";q={calls};w={seconds}"))
            }
            Self::InFlight(in_flight) => {
                (in_flight.words(), format!(";q={};qu=\"concurrent-requests\"", in_flight.at_most))
            }
        };
        let has_keys = per_method || !key.is_global();
        Ok(Limit {
            measure,
            key: key.clone(),
            name: name.into(),
            shadow,
            per_method,
            words: words.into(),
            policy: policy.into(),
            store: Arc::new(Store::new(kind, has_keys.then_some(keys_at_most))),
        })
    }
}

impl Limit {
    /// Whether what is kept of the keys of one says the same of those of the other. A number of calls in
    /// flight is true whatever their limit.
    fn counts_as(&self, other: &Self) -> bool {
        let same = match (&self.measure, &other.measure) {
            (Measure::Calls { pace, .. }, Measure::Calls { pace: other, .. }) => pace == other,
            (Measure::InFlight { .. }, Measure::InFlight { .. }) => true,
            _ => false,
        };
        same && self.name == other.name
            && self.key.is_same(&other.key)
            && self.per_method == other.per_method
    }
}

impl std::fmt::Debug for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Calls { pace, .. } => pace.fmt(f),
            Self::InFlight { at_most, .. } => write!(f, "InFlight({at_most})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::Quota;

    #[test]
    fn limits_are_locked_in_one_order_however_they_are_written() {
        let quota = |name: &str| Quota::per_second(5).by(Key::peer()).named(name);
        let table = |names: &[&str], before| {
            let rule: Rule = names.iter().map(|name| quota(name)).collect();
            Table::new(&Limits::of(rule), None, 10, before).expect("possible limits")
        };
        let order = |table: &Table| {
            let named = table.default.iter().map(|limit| (limit.store.id(), limit.name.clone()));
            let named: Vec<_> = named.collect();
            assert!(named.is_sorted_by_key(|(id, _)| id), "{named:?}");
            named
        };
        let first = table(&["a", "b"], None);
        let second = table(&["c", "b", "a"], Some(&first));
        let (before, after) = (order(&first), order(&second));
        assert_eq!(after[..2], before);
        assert_eq!(&*after[2].1, "c");
    }
}
