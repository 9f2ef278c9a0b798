//! The order in which connections are picked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::connect::Connection;
use crate::random::Random;

/// What can be picked.
pub(crate) trait Member {
    /// Whether a call can be sent there at this moment.
    fn is_usable(&self) -> bool;
}

impl Member for Connection {
    fn is_usable(&self) -> bool {
        self.lifecycle.is_open()
    }
}

/// The members in the order in which it is their turn.
#[derive(Debug)]
pub(crate) struct Rotation<T = Connection> {
    members: Vec<Arc<T>>,
    next: AtomicUsize,
}

impl<T: Member> Rotation<T> {
    /// The next member that is usable.
    pub(crate) fn pick(&self) -> Option<&Arc<T>> {
        self.pick_if(|_| true)
    }

    /// The next member that is usable and meets this condition.
    pub(crate) fn pick_if(&self, condition: impl Fn(&T) -> bool) -> Option<&Arc<T>> {
        (0..self.members.len()).find_map(|_| {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let member = &self.members[turn % self.members.len()];
            Some(member).filter(|member| member.is_usable() && condition(member))
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The rotation with these members. Members that stay keep their turns. New members get random ones, so that clients
    /// that start together do not all begin with the same server.
    ///
    /// Between two picks of one member, each other member that stays is picked exactly once.
    pub(crate) fn with_members(&self, members: Vec<Arc<T>>, random: &Random) -> Self {
        let (before, now) = (places(&self.members), places(&members));
        let turn = self.next.load(Ordering::Relaxed) % self.members.len().max(1);
        let (later, first) = self.members.split_at(turn);
        let staying = first.iter().chain(later);
        let mut order: Vec<_> =
            staying.filter(|member| now.contains(&Arc::as_ptr(member))).cloned().collect();
        for member in members {
            if !before.contains(&Arc::as_ptr(&member)) {
                order.insert(random.up_to(order.len()), member);
            }
        }
        Self { members: order, next: AtomicUsize::new(0) }
    }
}

/// The addresses in memory, by which members are compared.
fn places<T>(members: &[Arc<T>]) -> HashSet<*const T> {
    members.iter().map(Arc::as_ptr).collect()
}

impl<T> Default for Rotation<T> {
    fn default() -> Self {
        Self { members: Vec::new(), next: AtomicUsize::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug)]
    struct Server {
        number: usize,
        usable: bool,
    }

    impl Member for Server {
        fn is_usable(&self) -> bool {
            self.usable
        }
    }

    fn servers(usable: &[bool]) -> Vec<Arc<Server>> {
        let server = |(number, usable): (usize, &bool)| Server { number, usable: *usable };
        usable.iter().enumerate().map(server).map(Arc::new).collect()
    }

    fn picks(rotation: &Rotation<Server>, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| rotation.pick()).map(|server| server.number).collect()
    }

    #[test]
    fn each_is_picked_in_turn() {
        let last = Random::new(|| 1.0);
        let rotation = Rotation::default().with_members(servers(&[true; 3]), &last);
        assert_eq!(picks(&rotation, 7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn one_that_is_unusable_is_skipped() {
        let last = Random::new(|| 1.0);
        let rotation = Rotation::default().with_members(servers(&[true, false, true]), &last);
        assert_eq!(picks(&rotation, 4), [0, 2, 0, 2]);
        let rotation = Rotation::default().with_members(servers(&[false; 2]), &last);
        assert!(rotation.pick().is_none());
        assert!(Rotation::<Server>::default().pick().is_none());
    }

    #[test]
    fn clients_that_start_together_begin_with_different_servers() {
        let begins = |random: f64| {
            let rotation =
                Rotation::default().with_members(servers(&[true; 4]), &Random::new(move || random));
            picks(&rotation, 1)[0]
        };
        assert_ne!(begins(0.0), begins(0.99));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Arrives,
        Leaves(prop::sample::Index),
        Calls(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Arrives),
            any::<prop::sample::Index>().prop_map(Step::Leaves),
            (1_usize..12).prop_map(Step::Calls),
        ]
    }

    proptest! {
        /// Each server has a number of its own.
        #[test]
        fn no_server_is_picked_twice_before_every_other_that_stays(
            steps in prop::collection::vec(step(), 1..60),
            random in 0.0..1.0,
        ) {
            let random = Random::new(move || random);
            let mut rotation = Rotation::<Server>::default();
            let mut here: Vec<Arc<Server>> = Vec::new();
            let mut arrived = 0;
            // For each server, since it was last picked: the others that stay, and the picks.
            let mut since: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Calls(count) => {
                        for _ in 0..count {
                            let Some(picked) = rotation.pick().map(|server| server.number) else {
                                prop_assert!(here.is_empty());
                                break;
                            };
                            if let Some((stayed, seen)) = since.get(&picked) {
                                for number in stayed {
                                    let times = seen.iter().filter(|seen| *seen == number).count();
                                    prop_assert_eq!(times, 1, "{} between two of {}", number, picked);
                                }
                            }
                            for (_, seen) in since.values_mut() {
                                seen.push(picked);
                            }
                            let others = here.iter().map(|server| server.number);
                            let others = others.filter(|number| *number != picked).collect();
                            since.insert(picked, (others, Vec::new()));
                        }
                        continue;
                    }
                    Step::Arrives => {
                        here.push(Arc::new(Server { number: arrived, usable: true }));
                        arrived += 1;
                    }
                    Step::Leaves(_) if here.is_empty() => continue,
                    Step::Leaves(index) => {
                        let left = here.remove(index.index(here.len())).number;
                        since.remove(&left);
                        for (stayed, _) in since.values_mut() {
                            stayed.retain(|number| *number != left);
                        }
                    }
                }
                rotation = rotation.with_members(here.clone(), &random);
                prop_assert_eq!(rotation.members.len(), here.len());
                prop_assert_eq!(places(&rotation.members), places(&here));
            }
        }

        #[test]
        fn counts_differ_by_at_most_one(count in 1_usize..40, calls in 0_usize..500) {
            let random = Random::default();
            let rotation = Rotation::default().with_members(servers(&vec![true; count]), &random);
            let mut counts = vec![0; count];
            for number in picks(&rotation, calls) {
                counts[number] += 1;
            }
            prop_assert!(counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0) <= 1);
        }
    }
}
