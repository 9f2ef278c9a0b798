use tonic_call::Matches;

use super::table::Table;

/// How many keys a limit stores: see [`Handle::usage`](crate::Handle::usage).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// What the rule matches: `pkg.Svc/Method`, `pkg.Svc`, or `*` for the default. A limit that rules share is listed for each of
    /// them.
    pub rule: String,
    /// The name of the limit.
    pub limit: String,
    /// How many keys are stored: those that have used up some of their quota, and those with calls in flight. Keys
    /// of quotas whose burst is full again are removed a few at a time, during calls. 0 for a limit without keys.
    pub keys: usize,
    /// The maximum of `keys`; `None` for a limit without keys.
    pub max_keys: Option<usize>,
    /// Whether there was no room for new keys, and their shared bucket is in use now. Callers whose keys share it
    /// limit each other: a caller invents keys, or `max_keys` is too small.
    pub overflow_in_use: bool,
}

impl Table {
    /// The usage of all limits, in the order of their rules and names.
    pub(crate) fn usage(&self, now: u64) -> Vec<Usage> {
        let usage = self.iter().map(|(matches, limit)| {
            let stored = limit.store_usage(now);
            Usage {
                rule: match matches {
                    Matches::Default => "*".to_owned(),
                    rule => rule.to_string(),
                },
                limit: limit.name.to_string(),
                keys: stored.map_or(0, |stored| stored.keys),
                max_keys: stored.map(|stored| stored.max_keys),
                overflow_in_use: stored.is_some_and(|stored| stored.overflow_in_use),
            }
        });
        let mut all: Vec<_> = usage.collect();
        all.sort_by(|one, other| (&one.rule, &one.limit).cmp(&(&other.rule, &other.limit)));
        all
    }
}
