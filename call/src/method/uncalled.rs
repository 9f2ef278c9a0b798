//! Finds rules that no call has matched.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustc_hash::FxHashMap;

use crate::method::{MethodTable, Rpc};

/// Finds the rules of a table that match no call. Without a descriptor set, this is the only sign of a
/// misspelled name.
///
/// Checks the first [`CALLS`](Self::CALLS) calls, not counting those of health and reflection services. After
/// that, a call costs reading one number.
#[derive(Debug)]
pub struct UncalledRules {
    calls: AtomicU32,
    methods: FxHashMap<Box<str>, AtomicBool>,
    services: FxHashMap<Box<str>, AtomicBool>,
}

/// The maximum length of the list of rules in bytes. Rules that do not fit are only counted.
const MAX_TEXT_BYTES: usize = 8 * 1024;

impl UncalledRules {
    /// The number of calls after which unmatched rules are reported.
    pub const CALLS: u32 = 1_000;

    /// Starts to check the rules of this table.
    pub fn of<T>(table: &MethodTable<T>) -> Self {
        let not_yet = |rule: &str| (rule.into(), AtomicBool::new(false));
        let methods: FxHashMap<_, _> = table.method_rules().map(not_yet).collect();
        let services: FxHashMap<_, _> = table.service_rules().map(not_yet).collect();
        // Without rules, no calls are counted.
        let none = methods.is_empty() && services.is_empty();
        Self { calls: AtomicU32::new(if none { Self::CALLS } else { 0 }), methods, services }
    }

    /// Records a call. At call number [`CALLS`](Self::CALLS), and only then, returns the rules that no call has
    /// matched, if any, as a list for the log: in alphabetical order, and at most 8 KiB long.
    pub fn called(&self, rpc: &Rpc) -> Option<String> {
        if self.calls.load(Ordering::Relaxed) >= Self::CALLS || !rpc.is_well_formed() {
            return None;
        }
        // A rule for a service counts as called even if the method has a rule of its own.
        for rule in [self.methods.get(rpc.full()), self.services.get(rpc.service())] {
            if let Some(called) = rule.filter(|called| !called.load(Ordering::Relaxed)) {
                called.store(true, Ordering::Relaxed);
            }
        }
        // Health probes arrive even if there is no other traffic.
        if rpc.is_infrastructure() {
            return None;
        }
        let is_last = self.calls.fetch_add(1, Ordering::Relaxed) == Self::CALLS - 1;
        if is_last { self.uncalled() } else { None }
    }

    fn uncalled(&self) -> Option<String> {
        let rules = self.methods.iter().chain(&self.services);
        let uncalled = rules.filter(|(_, called)| !called.load(Ordering::Relaxed));
        let mut names: Vec<&str> = uncalled.map(|(rule, _)| &**rule).collect();
        names.sort_unstable();
        let mut text = String::new();
        for (index, name) in names.iter().enumerate() {
            if text.len() + name.len() > MAX_TEXT_BYTES - 64 {
                text += &format!(", and {} more", names.len() - index);
                break;
            }
            if index > 0 {
                text += ", ";
            }
            text += name;
        }
        (!names.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpc(path: &str) -> Rpc {
        Rpc::from_uri(&path.parse().expect("a path"))
    }

    fn reported(rules: &UncalledRules, paths: &[&str], calls: u32) -> Vec<(u32, String)> {
        let rpcs: Vec<_> = paths.iter().map(|path| rpc(path)).collect();
        let call = |number: u32| {
            let text = rules.called(&rpcs[number as usize % rpcs.len()])?;
            Some((number + 1, text))
        };
        (0..calls).filter_map(call).collect()
    }

    #[test]
    fn uncalled_rules_are_reported_once_after_a_thousand_calls() {
        let table = MethodTable::new(())
            .method("a.B", "C", ())
            .method("a.B", "Typo", ())
            .service("a.B", ())
            .service("a.Wrong", ());
        let rules = UncalledRules::of(&table);
        let named = [(1_000, "a.B/Typo, a.Wrong".to_owned())];
        assert_eq!(reported(&rules, &["/a.B/C", "/x.Y/Z"], 5_000), named);
    }

    #[test]
    fn a_rule_that_was_called_once_is_not_named() {
        for late in [0, 1, 500, 999] {
            let rules = UncalledRules::of(&MethodTable::new(()).method("a.B", "C", ()));
            let mut reported = Vec::new();
            for call in 0..3_000 {
                let path = if call == late { "/a.B/C" } else { "/a.B/D" };
                reported.extend(rules.called(&rpc(path)));
            }
            assert!(reported.is_empty(), "{late}: {reported:?}");
        }
    }

    #[test]
    fn probes_and_malformed_paths_are_not_counted_and_without_rules_nothing_is() {
        let rules = UncalledRules::of(&MethodTable::new(()).service("a.B", ()));
        assert_eq!(reported(&rules, &["/grpc.health.v1.Health/Check", "/x", "//a/b"], 5_000), []);
        assert_eq!(reported(&rules, &["/a.C/D"], 2_000), [(1_000, "a.B".to_owned())]);
        let none = UncalledRules::of(&MethodTable::new(()));
        assert_eq!(reported(&none, &["/a.C/D"], 2_000), []);
        let health = MethodTable::new(()).service("grpc.health.v1.Health", ());
        let paths = ["/grpc.health.v1.Health/Check", "/a.C/D"];
        assert_eq!(reported(&UncalledRules::of(&health), &paths, 5_000), []);
    }

    #[test]
    fn a_long_list_of_rules_is_bounded() {
        let table = (0..10_000).fold(MethodTable::new(()), |table, number| {
            table.method("orders.v1.OrderService", &format!("M{number:05}"), ())
        });
        let reported = reported(&UncalledRules::of(&table), &["/a.B/C"], 1_000);
        let [(_, text)] = &reported[..] else { panic!("{reported:?}") };
        assert!(text.len() <= MAX_TEXT_BYTES && text.ends_with(" more"), "{text}");
        assert!(text.starts_with("orders.v1.OrderService/M00000, orders.v1.OrderService/M00001, "));
    }
}
