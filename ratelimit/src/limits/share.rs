use super::pace::Pace;
use crate::shared::Refusals;

/// What a quota has that replicas share.
#[derive(Debug)]
pub(crate) struct Share {
    /// The hash of the quota, which is the same in all replicas that have it.
    pub(crate) id: u128,
    /// The hash of what the rule matches.
    pub(crate) rule: u128,
    /// The part of this replica, while it decides by itself.
    pub(crate) pace: Pace,
    /// The keys that need not be asked for, if the store remembers them.
    pub(crate) refusals: Option<Refusals>,
}
