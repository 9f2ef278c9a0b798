//! Settings per method.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use rustc_hash::FxHashMap;

use crate::method::{Method, Methods, Rpc, RuleError};

/// Settings per method, with values per service and a default as fallbacks.
///
/// The most specific rule wins: method, then service, then default. Built once, and read without allocation. A
/// rule that can never match, and a rule that is set twice (the later one is used), are errors of
/// [`check`](Self::check).
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
    /// Errors in the rules that don't depend on which methods exist.
    faults: Vec<RuleError>,
}

/// The calls that a rule of a [`MethodTable`] matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Matches<'a> {
    /// Calls of one method: `package.Service/Method`.
    Method(&'a str),
    /// Calls of one service, `package.Service`, that have no rule for their method.
    Service(&'a str),
    /// Calls that no other rule matches.
    Default,
}

impl<T> MethodTable<T> {
    /// Creates a table with only a default.
    pub fn new(default: T) -> Self {
        let (methods, services) = (FxHashMap::default(), FxHashMap::default());
        Self { methods, services, default, faults: Vec::new() }
    }

    /// Sets the value for one method of a fully qualified service.
    #[must_use]
    pub fn method(mut self, service: &str, method: &str, value: T) -> Self {
        let rule = format!("{service}/{method}");
        let before = self.methods.insert(rule.as_str().into(), value);
        self.faults.extend(RuleError::of_method(service, method));
        self.faults.extend(before.map(|_| RuleError::Twice { rule }));
        self
    }

    /// Sets the value for all methods of a fully qualified service that have no value of their own.
    #[must_use]
    pub fn service(mut self, service: &str, value: T) -> Self {
        let before = self.services.insert(service.into(), value);
        self.faults.extend(RuleError::of_service(service));
        self.faults.extend(before.map(|_| RuleError::Twice { rule: service.to_owned() }));
        self
    }

    /// The value for a call; the default if its path is not well formed.
    pub fn get(&self, rpc: &Rpc) -> &T {
        self.rule(rpc).unwrap_or(&self.default)
    }

    /// The value for a call from a rule for its method or service; `None` if only the default applies.
    pub fn rule(&self, rpc: &Rpc) -> Option<&T> {
        if !rpc.is_well_formed() {
            return None;
        }
        // Most tables have rules of one of the two, or none.
        let of_method = || self.methods.get(rpc.full());
        let of_service = || self.services.get(rpc.service());
        let method = if self.methods.is_empty() { None } else { of_method() };
        if self.services.is_empty() { method } else { method.or_else(of_service) }
    }

    /// All values with the calls they match: rules for methods, then for services, each in no particular order,
    /// and then the default.
    pub fn iter(&self) -> impl Iterator<Item = (Matches<'_>, &T)> {
        let methods = self.methods.iter().map(|(rule, value)| (Matches::Method(rule), value));
        let services = self.services.iter().map(|(rule, value)| (Matches::Service(rule), value));
        methods.chain(services).chain([(Matches::Default, &self.default)])
    }

    /// The value of exactly this rule, if there is such a rule.
    pub fn of(&self, rule: Matches<'_>) -> Option<&T> {
        match rule {
            Matches::Method(rule) => self.methods.get(rule),
            Matches::Service(rule) => self.services.get(rule),
            Matches::Default => Some(&self.default),
        }
    }

    /// Converts the values and keeps the rules; `make` gets each rule and its value.
    ///
    /// # Errors
    ///
    /// The first error from `make`.
    pub fn try_map<U, E>(
        &self,
        mut make: impl FnMut(Matches<'_>, &T) -> Result<U, E>,
    ) -> Result<MethodTable<U>, E> {
        let (mut methods, mut services) = (FxHashMap::default(), FxHashMap::default());
        for (rule, value) in &self.methods {
            methods.insert(rule.clone(), make(Matches::Method(rule), value)?);
        }
        for (rule, value) in &self.services {
            services.insert(rule.clone(), make(Matches::Service(rule), value)?);
        }
        let default = make(Matches::Default, &self.default)?;
        Ok(MethodTable { methods, services, default, faults: self.faults.clone() })
    }

    /// Returns the table if every rule is for a service or method that exists. For settings that are checked
    /// where they are created.
    ///
    /// # Errors
    ///
    /// Like [`check`](Self::check).
    pub fn checked(self, methods: &Methods) -> Result<Self, RuleError> {
        self.check(methods).map(|()| self)
    }

    /// Checks that every rule is for a service or method that exists, and that no two rules are for the same
    /// one.
    ///
    /// # Errors
    ///
    /// The errors of [`check_names`](Self::check_names); then the first rule, in alphabetical order, for a
    /// service or method that does not exist.
    pub fn check(&self, methods: &Methods) -> Result<(), RuleError> {
        self.check_names()?;
        let of_methods = self.method_rules().filter(|rule| !methods.has_full(rule)).min();
        let of_services = self.service_rules().filter(|rule| !methods.has_service(rule)).min();
        match (of_methods, of_services) {
            (None, None) => Ok(()),
            (Some(method), None) => Err(RuleError::unknown_method(method, methods)),
            (Some(method), Some(service)) if method < service => {
                Err(RuleError::unknown_method(method, methods))
            }
            (_, Some(service)) => Err(RuleError::unknown_service(service, methods)),
        }
    }

    /// Checks what does not depend on which methods exist.
    ///
    /// # Errors
    ///
    /// The first rule, in alphabetical order, whose name no call can have; then the first rule that is set
    /// twice.
    pub fn check_names(&self) -> Result<(), RuleError> {
        self.faults.iter().min().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// The methods that have a rule: `pkg.Svc/Method`.
    pub(crate) fn method_rules(&self) -> impl Iterator<Item = &str> {
        self.methods.keys().map(|rule| &**rule)
    }

    /// The services that have a rule.
    pub(crate) fn service_rules(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(|rule| &**rule)
    }
}

impl<T> MethodTable<Option<T>> {
    /// A table with a value for each of these methods, the standard ones included, and `None` for all others. For
    /// settings that depend on several tables, or on the kind of the method: a call then needs one look-up.
    pub fn for_each(methods: &Methods, make: impl Fn(&Rpc, &Method) -> T) -> Self {
        methods.all().fold(Self::new(None), |table, method| {
            let path = PathAndQuery::try_from(format!("/{}", method.full()));
            let value = make(&Rpc::from_path(path.ok()), method);
            table.method(method.service(), method.name(), Some(value))
        })
    }
}

impl<T: Default> Default for MethodTable<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A table that has nothing but a default.
impl<T> From<T> for MethodTable<T> {
    fn from(default: T) -> Self {
        Self::new(default)
    }
}

/// A table that has nothing but a default, of times that may be absent.
impl From<Duration> for MethodTable<Option<Duration>> {
    fn from(default: Duration) -> Self {
        Self::new(Some(default))
    }
}

impl fmt::Display for Matches<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Method(rule) | Self::Service(rule) => f.write_str(rule),
            Self::Default => f.write_str("the default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::MethodKind;
    use crate::method::kinds_tests::kinds;

    fn get(table: &MethodTable<u8>, path: &'static str) -> u8 {
        *table.get(&Rpc::from_uri(&http::Uri::from_static(path)))
    }

    #[test]
    fn a_table_for_each_method_has_a_value_for_all_that_are_known() {
        let methods = kinds();
        let kinds = MethodTable::for_each(&methods, |rpc, method| {
            assert_eq!(rpc.full(), method.full());
            method.kind()
        });
        let get = |path| *kinds.get(&Rpc::from_uri(&http::Uri::from_static(path)));
        assert_eq!(get("/test.v1.Kinds/Unary"), Some(MethodKind::Unary));
        assert_eq!(get("/grpc.health.v1.Health/Watch"), Some(MethodKind::ServerStream));
        assert_eq!(get("/a.B/D"), None);
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let table = MethodTable::new(0).service("a.B", 1).method("a.B", "C", 2);
        assert_eq!(get(&table, "/a.B/C"), 2);
        assert_eq!(get(&table, "/a.B/D"), 1);
        assert_eq!(get(&table, "/a.C/C"), 0);
    }

    #[test]
    fn a_malformed_path_gets_the_default() {
        let table = MethodTable::new(0).service("a.B", 1).method("a.B", "C", 2).service("", 3);
        for path in ["/a.B/C/", "//a.B/C", "/a.B/", "/a.B", "/"] {
            assert_eq!(get(&table, path), 0, "{path}");
        }
    }

    #[test]
    fn a_rule_for_a_method_that_does_not_exist_is_an_error_with_a_suggestion() {
        let table = MethodTable::new(0).method("test.v1.Kinds", "Unary", 1);
        assert_eq!(table.check(&kinds()), Ok(()));
        assert!(MethodTable::new(0).service("test.v1.Kinds", 1).checked(&kinds()).is_ok());

        let method = |service, method| table.clone().method(service, method, 1);
        let service = |service| table.clone().service(service, 1);
        for (table, rule, nearest) in [
            (method("test.v1.Kinds", "Unnary"), "test.v1.Kinds/Unnary", "test.v1.Kinds/Unary"),
            (method("test.v1.Kinds", "peek"), "test.v1.Kinds/peek", "test.v1.Kinds/Peek"),
            (method("Kinds", "Peek"), "Kinds/Peek", "test.v1.Kinds/Peek"),
            (method("test.v1.Kind", "Peek"), "test.v1.Kind/Peek", "test.v1.Kinds/Peek"),
            (service("test.v1.Kind"), "test.v1.Kind", "test.v1.Kinds"),
            (service("Kinds"), "Kinds", "test.v1.Kinds"),
            (service("grpc.health.Health"), "grpc.health.Health", ""),
            (service("Health"), "Health", "grpc.health.v1.Health"),
            (service("elsewhere.v1.Service"), "elsewhere.v1.Service", ""),
        ] {
            let error = table.check(&kinds()).expect_err(rule);
            assert_eq!((error.rule(), table.check_names()), (rule, Ok(())));
            let text = error.to_string();
            assert!(text.contains(&format!("{rule:?}")), "{text}");
            let meant = format!("did you mean {nearest:?}?");
            assert_eq!(text.contains(&meant), !nearest.is_empty(), "{text}");
        }
        let both = service("z.Z").method("y.Y", "Y", 1);
        assert_eq!(both.check(&kinds()).expect_err("neither").rule(), "y.Y/Y");
    }

    #[test]
    fn two_rules_for_the_same_method_or_service_are_an_error() {
        let method = MethodTable::new(0).method("a.B", "C", 1).method("a.B", "C", 2);
        let error = method.check_names().expect_err("twice");
        assert_eq!(error.to_string(), "there are two rules for \"a.B/C\": only one can apply");
        assert_eq!(get(&method, "/a.B/C"), 2);
        let service = MethodTable::new(0).service("a.B", 1).service("a.B", 1);
        assert_eq!(service.check(&kinds()), Err(RuleError::Twice { rule: "a.B".to_owned() }));
        let apart = MethodTable::new(0).service("a.B", 1).method("a.B", "C", 1).service("a.C", 1);
        assert_eq!(apart.check_names(), Ok(()));
    }

    #[test]
    fn every_value_is_listed_with_the_calls_it_matches() {
        let table = MethodTable::new(0).method("a.B", "C", 1).service("a.B", 2);
        let rules = [(Matches::Method("a.B/C"), &1), (Matches::Service("a.B"), &2)];
        let all = [rules[0], rules[1], (Matches::Default, &0)];
        assert_eq!(table.iter().collect::<Vec<_>>(), all);
        assert_eq!(table.of(Matches::Method("a.B/C")), Some(&1));
        assert_eq!(table.of(Matches::Method("a.B")), None);
        let made = table.try_map(|rule, value| Ok::<_, ()>(format!("{rule} {value}")));
        let made = made.expect("no errors");
        assert_eq!(made.of(Matches::Method("a.B/C")).map(String::as_str), Some("a.B/C 1"));
        assert_eq!(
            table.try_map(|rule, _| Err::<(), _>(rule == Matches::Default)).err(),
            Some(false)
        );
    }

    #[test]
    fn a_name_that_no_call_has_is_an_error_with_and_without_a_descriptor_set() {
        for table in [
            MethodTable::new(0).service("/a.B", 1),
            MethodTable::new(0).method("a.B", "/C", 1),
            MethodTable::new(0).service("", 1),
        ] {
            let error = table.check_names().expect_err("no name");
            assert!(matches!(error, RuleError::Malformed { .. }));
            assert_eq!(table.check(&kinds()), Err(error));
        }
    }
}
