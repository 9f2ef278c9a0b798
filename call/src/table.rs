//! Settings per method.

use std::error::Error;
use std::fmt;

use rustc_hash::FxHashMap;

use crate::methods::Methods;
use crate::rpc::Rpc;

/// One value per method, with one per service and a default behind it.
///
/// The most exact rule wins: method, then service, then default. Built once, read without
/// allocation. Setting a rule twice keeps the later one.
///
/// ```
/// # use tonic_call::{MethodTable, Rpc};
/// let limits = MethodTable::new(100)
///     .service("orders.v1.OrderService", 50)
///     .method("orders.v1.OrderService", "CreateOrder", 5);
///
/// let create = Rpc::from_uri(&"/orders.v1.OrderService/CreateOrder".parse()?);
/// assert_eq!(limits.get(&create), &5);
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
#[derive(Clone, Debug)]
pub struct MethodTable<T> {
    methods: FxHashMap<Box<str>, T>,
    services: FxHashMap<Box<str>, T>,
    default: T,
}

/// A rule for something that does not exist: it would never apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMethod {
    rule: String,
}

impl<T> MethodTable<T> {
    /// A table that has nothing but a default.
    pub fn new(default: T) -> Self {
        Self { methods: FxHashMap::default(), services: FxHashMap::default(), default }
    }

    /// Sets the value of one method of a fully qualified service.
    #[must_use]
    pub fn method(mut self, service: &str, method: &str, value: T) -> Self {
        self.methods.insert(format!("{service}/{method}").into(), value);
        self
    }

    /// Sets the value of all methods of a fully qualified service that have none of their own.
    #[must_use]
    pub fn service(mut self, service: &str, value: T) -> Self {
        self.services.insert(service.into(), value);
        self
    }

    /// The value that applies to a call; the default if its path is not well formed.
    pub fn get(&self, rpc: &Rpc) -> &T {
        self.rule(rpc).unwrap_or(&self.default)
    }

    /// The value that applies to a call by a rule for its method or service, and not by default.
    pub fn rule(&self, rpc: &Rpc) -> Option<&T> {
        if !rpc.is_well_formed() {
            return None;
        }
        self.methods.get(rpc.full()).or_else(|| self.services.get(rpc.service()))
    }

    /// The table, if every rule in it is for a service or method that exists: for settings that are
    /// checked where they are made.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn checked(self, methods: &Methods) -> Result<Self, UnknownMethod> {
        self.check(methods).map(|()| self)
    }

    /// Checks that every rule is for a service or method that exists.
    ///
    /// # Errors
    ///
    /// Names the first rule, in alphabetical order, that is for something else.
    pub fn check(&self, methods: &Methods) -> Result<(), UnknownMethod> {
        let unknown_method = |rule: &&str| !methods.has_full(rule);
        let unknown_service = |rule: &&str| !methods.has_service(rule);
        let of_methods = self.methods.keys().map(|rule| &**rule).filter(unknown_method);
        let of_services = self.services.keys().map(|rule| &**rule).filter(unknown_service);
        match of_methods.chain(of_services).min() {
            Some(rule) => Err(UnknownMethod { rule: rule.to_owned() }),
            None => Ok(()),
        }
    }
}

impl<T: Default> Default for MethodTable<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl UnknownMethod {
    /// What the rule was for: `pkg.Svc/Method`, or `pkg.Svc`.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

impl fmt::Display for UnknownMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.rule.contains('/') { "method" } else { "service" };
        write!(
            f,
            "a rule is for the {what} {:?}, which the descriptor set does not have",
            self.rule
        )
    }
}

impl Error for UnknownMethod {}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(table: &MethodTable<u8>, path: &'static str) -> u8 {
        *table.get(&Rpc::from_uri(&http::Uri::from_static(path)))
    }

    #[test]
    fn the_most_exact_rule_wins() {
        let table = MethodTable::new(0).service("a.B", 1).method("a.B", "C", 2);
        assert_eq!(get(&table, "/a.B/C"), 2);
        assert_eq!(get(&table, "/a.B/D"), 1);
        assert_eq!(get(&table, "/a.C/C"), 0);
    }

    #[test]
    fn a_path_that_is_not_exact_gets_the_default() {
        let table = MethodTable::new(0).service("a.B", 1).method("a.B", "C", 2).service("", 3);
        for path in ["/a.B/C/", "//a.B/C", "/a.B/", "/a.B", "/"] {
            assert_eq!(get(&table, path), 0, "{path}");
        }
    }

    #[test]
    fn a_rule_for_a_method_that_does_not_exist_is_named() {
        let methods = Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET)
            .expect("a descriptor set");
        let table = MethodTable::new(0).method("test.v1.Kinds", "Unary", 1);
        assert_eq!(table.check(&methods), Ok(()));

        let error = table.clone().method("test.v1.Kinds", "Unnary", 1).check(&methods);
        let error = error.expect_err("no such method");
        assert_eq!(error.rule(), "test.v1.Kinds/Unnary");
        assert!(error.to_string().contains("\"test.v1.Kinds/Unnary\""), "{error}");

        let error = table.service("test.v1.Kind", 1).check(&methods).expect_err("no such service");
        assert_eq!(error.rule(), "test.v1.Kind");
        assert!(MethodTable::new(0).service("test.v1.Kinds", 1).checked(&methods).is_ok());
    }
}
