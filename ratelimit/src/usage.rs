use crate::limits::Place;
use crate::store::Used;
use crate::table::{Limit, Table};

/// How much room a limit takes: see [`Handle::usage`](crate::Handle::usage).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What its rule is for: `pkg.Svc/Method`, `pkg.Svc`, or `*` for the default.
    pub rule: String,
    /// The name of the limit.
    pub limit: String,
    /// How many keys are kept: those that have used up something, and those that have calls in flight. Of
    /// quotas, keys that are whole again are forgotten some at a time, as calls come. Of a limit without keys, 0.
    pub keys: usize,
    /// How many keys are kept at most; `None` of a limit without keys.
    pub keys_at_most: Option<usize>,
    /// Whether new keys found no room and share one bucket, which is in use now. Callers whose keys are in it
    /// limit each other: somebody invents keys, or `keys_at_most` is too few.
    pub overflow_in_use: bool,
}

impl Table {
    /// Of all limits, in the order of their rules and names.
    pub(crate) fn usage(&self, now: u64) -> Vec<Usage> {
        let limits = |(place, limits): (&Place, &[Limit])| {
            let rule = match place {
                Place::Default => "*".to_owned(),
                place => place.to_string(),
            };
            limits.iter().map(|limit| limit.usage(rule.clone(), now)).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = self.places().flat_map(limits).collect();
        all.sort_by(|one, other| (&one.rule, &one.limit).cmp(&(&other.rule, &other.limit)));
        all
    }
}

impl Limit {
    fn usage(&self, rule: String, now: u64) -> Usage {
        let Used { keys, keys_at_most, overflow_in_use } = self.store.used(now);
        Usage { rule, limit: self.name.to_string(), keys, keys_at_most, overflow_in_use }
    }
}
