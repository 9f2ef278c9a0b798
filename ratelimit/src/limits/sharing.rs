//! Which limits replicas share.

use std::marker::PhantomData;

use tonic_call::Matches;

use super::enforced::Enforced;
use super::limit::Limit;
use super::rules::AnyMeasure;

/// The store of a layer, as far as its limits depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sharing<'a> {
    #[cfg(feature = "redis")]
    store: Option<&'a crate::shared::RedisStore>,
    /// Without the feature nothing is borrowed.
    lifetime: PhantomData<&'a ()>,
}

impl Sharing<'_> {
    /// Shares a limit, if it is to be shared; the error says why it cannot be.
    #[cfg(not(feature = "redis"))]
    pub(super) fn apply(
        self,
        _: &mut Enforced,
        _: &Limit<AnyMeasure>,
        _: Matches<'_>,
        _: usize,
    ) -> Result<(), String> {
        Ok(())
    }

    /// Checks that the limits of one rule can be shared together.
    #[cfg(not(feature = "redis"))]
    pub(super) fn check(self, _: &[Enforced]) -> Result<(), (String, String)> {
        Ok(())
    }
}

#[cfg(feature = "redis")]
mod with_store {
    use std::hash::Hash as _;

    use super::super::enforced::Measure;
    use super::super::limit::Scope;
    use super::super::share::Share;
    use super::*;
    use crate::shared::{RedisStore, Refusals};

    impl<'a> Sharing<'a> {
        pub(crate) fn of(store: Option<&'a RedisStore>) -> Self {
            Self { store, lifetime: PhantomData }
        }

        pub(in super::super) fn apply(
            self,
            enforced: &mut Enforced,
            limit: &Limit<AnyMeasure>,
            matches: Matches<'_>,
            max_keys: usize,
        ) -> Result<(), String> {
            let (pace, store) = match (&enforced.measure, limit.scope, self.store) {
                (Measure::InFlight { .. }, Scope::Shared, _) => {
                    return Err(
                        "cannot be shared: calls in flight are counted in each process".to_owned()
                    );
                }
                (Measure::Calls { .. }, Scope::Shared, None) => {
                    return Err(
                        "is shared, and the layer has no store: call `RateLimitBuilder::shared`"
                            .to_owned(),
                    );
                }
                (_, Scope::Local, _) | (Measure::InFlight { .. }, ..) | (.., None) => return Ok(()),
                (Measure::Calls { pace, .. }, Scope::ByLayer | Scope::Shared, Some(store)) => {
                    (pace, store)
                }
            };
            let matches = match matches {
                Matches::Default => "*".to_owned(),
                rule => rule.to_string(),
            };
            let (interval, burst) = (pace.interval(), pace.burst());
            let id = store.digest().hash_with(|mut hasher| {
                (&matches, &*enforced.name, interval, burst, enforced.per_method).hash(&mut hasher);
                format!("{:?}", enforced.key).hash(&mut hasher);
            });
            let rule = store.digest().hash_with(|mut hasher| matches.hash(&mut hasher));
            let pace = pace.share(store.share_of())?;
            // Without keys there is one to remember. What a shadow limit refuses passes.
            let max_keys = if enforced.store.single().is_some() { 1 } else { max_keys };
            let remembers = store.remembers_refusals() && !enforced.shadow;
            let refusals = remembers.then(|| Refusals::new(max_keys));
            enforced.share = Some(Share { id, rule, pace, refusals });
            Ok(())
        }

        /// Checks that the limits of one rule have their keys in one slot, if they are shared in a cluster; the error
        /// is the name of one of them, and what is wrong with it.
        pub(in super::super) fn check(self, rule: &[Enforced]) -> Result<(), (String, String)> {
            let Some(store) = self.store.filter(|store| store.is_cluster()) else { return Ok(()) };
            let mut shared = rule.iter().filter(|limit| limit.share.is_some());
            let Some(first) = shared.next() else { return Ok(()) };
            if store.prefix_has_tag() {
                let wrong = "cannot be shared: the prefix of a store in a Redis Cluster must not have `{` in it";
                return Err((first.name.to_string(), wrong.to_owned()));
            }
            let Some(other) = shared.find(|limit| !limit.key.is_same(&first.key)) else {
                return Ok(());
            };
            let wrong = format!(
                "cannot be shared in a Redis Cluster together with the limit {:?} of the same rule, which has another \
                 key: give both the same key, or call `local` on one of them",
                first.name
            );
            Err((other.name.to_string(), wrong))
        }
    }
}
