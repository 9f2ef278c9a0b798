//! Errors in the rules of a `MethodTable`.

use std::error::Error;
use std::fmt;

use http::uri::PathAndQuery;

use crate::method::{Method, Methods, Rpc};

/// A rule that can never match a call, or that another rule hides: see
/// [`MethodTable::check`](crate::MethodTable::check).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum RuleError {
    /// The name can't occur in the path of a call: it is empty, or contains a slash or a character that paths
    /// can't have.
    #[non_exhaustive]
    Malformed {
        /// The method or service of the rule: `pkg.Svc/Method` or `pkg.Svc`.
        rule: String,
        /// The problem with the name.
        problem: &'static str,
        /// A suggestion for the name, if there is one.
        nearest: Option<String>,
    },
    /// Two rules are for the same method or service.
    #[non_exhaustive]
    Twice {
        /// The method or service of the rules: `pkg.Svc/Method` or `pkg.Svc`.
        rule: String,
    },
    /// The descriptor set has no such method or service.
    #[non_exhaustive]
    Unknown {
        /// The method or service of the rule: `pkg.Svc/Method` or `pkg.Svc`.
        rule: String,
        /// A similar name in the descriptor set, if there is one.
        nearest: Option<String>,
    },
}

impl RuleError {
    /// The method or service of the rule: `pkg.Svc/Method` or `pkg.Svc`.
    pub fn rule(&self) -> &str {
        match self {
            Self::Malformed { rule, .. } | Self::Twice { rule } | Self::Unknown { rule, .. } => {
                rule
            }
        }
    }

    /// Checks a rule for a service, without knowing which services exist.
    pub(crate) fn of_service(service: &str) -> Option<Self> {
        let problem = match service.contains('/') {
            true => "a service name can't contain a slash; a rule for one method has two names",
            false => problem(service, "Method")?,
        };
        let nearest = service.trim_matches('/');
        let nearest = (nearest != service && problem_free(nearest, "Method")).then_some(nearest);
        Some(Self::malformed(service.to_owned(), problem, nearest.map(str::to_owned)))
    }

    /// Checks a rule for a method, without knowing which methods exist.
    pub(crate) fn of_method(service: &str, method: &str) -> Option<Self> {
        let problem = problem(service, method)?;
        let near = (service.trim_matches('/'), method.trim_matches('/'));
        let nearest = near != (service, method) && problem_free(near.0, near.1);
        let nearest = nearest.then(|| format!("{}/{}", near.0, near.1));
        Some(Self::malformed(format!("{service}/{method}"), problem, nearest))
    }

    fn malformed(rule: String, problem: &'static str, nearest: Option<String>) -> Self {
        Self::Malformed { rule, problem, nearest }
    }

    pub(crate) fn unknown_service(service: &str, methods: &Methods) -> Self {
        let nearest = nearest(service, methods.services());
        Self::Unknown { rule: service.to_owned(), nearest }
    }

    pub(crate) fn unknown_method(full: &str, methods: &Methods) -> Self {
        let nearest = nearest(full, methods.all().map(Method::full));
        Self::Unknown { rule: full.to_owned(), nearest }
    }
}

/// The reason why a call can't have these names, if any.
fn problem(service: &str, method: &str) -> Option<&'static str> {
    if service.is_empty() || method.is_empty() {
        return Some("a name is empty");
    }
    if service.contains('/') || method.contains('/') {
        return Some("a name can't contain a slash");
    }
    // Builds the path of such a call and compares the names parsed from it.
    let path = PathAndQuery::try_from(format!("/{service}/{method}")).ok();
    let rpc = Rpc::from_path(path);
    let same = rpc.service() == service && rpc.method() == method;
    (!same).then_some("it has a character that the path of a call can't have")
}

fn problem_free(service: &str, method: &str) -> bool {
    problem(service, method).is_none()
}

/// The most similar name: the same name with its package, or else the one with the fewest edits, if they are
/// few.
fn nearest<'a>(rule: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    // Long names are skipped: a suggestion is not worth the time.
    const LONG: usize = 256;
    let last = rule.rsplit(['/', '.']).next().unwrap_or(rule);
    let at_most = (last.len() / 3).max(1);
    let distance = |name: &str| {
        let front = name.strip_suffix(rule);
        if front.is_some_and(|front| front.ends_with('.')) || name.eq_ignore_ascii_case(rule) {
            return Some(0);
        }
        let close = name.len().abs_diff(rule.len()) <= at_most && name.len() <= LONG;
        close.then(|| edits(rule, name)).filter(|edits| *edits <= at_most)
    };
    let near = names.filter_map(|name| Some((distance(name)?, name)));
    near.min().map(|(_, name)| name.to_owned())
}

/// The number of bytes to insert, delete or replace to turn one text into the other (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, byte) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (left, of_other) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(byte != of_other);
            diagonal = row[left + 1];
            row[left + 1] = replaced.min(diagonal + 1).min(row[left] + 1);
        }
    }
    row[other.len()]
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.rule();
        let nearest = match self {
            Self::Malformed { problem, nearest, .. } => {
                write!(f, "the rule for {rule:?} can never match: {problem}")?;
                nearest
            }
            Self::Twice { .. } => {
                return write!(f, "there are two rules for {rule:?}: only one can apply");
            }
            Self::Unknown { nearest, .. } => {
                let what = if rule.contains('/') { "method" } else { "service" };
                write!(
                    f,
                    "the rule for {rule:?} can never match: the descriptor set has no such {what}"
                )?;
                nearest
            }
        };
        match nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

impl Error for RuleError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_path_can_have_is_an_error_with_a_suggestion() {
        for (service, method, problem, nearest) in [
            ("/a.B", "C", "slash", Some("a.B/C")),
            ("a.B", "/C", "slash", Some("a.B/C")),
            ("/a.B/", "/C/", "slash", Some("a.B/C")),
            ("a.B/C", "D", "slash", None),
            ("a.B", "C/D", "slash", None),
            ("", "C", "empty", None),
            ("a.B", "", "empty", None),
            ("/", "C", "slash", None),
            ("a.B", "C D", "character", None),
            ("a.B", "C?D", "character", None),
            ("a.B#", "C", "character", None),
        ] {
            let error = RuleError::of_method(service, method).expect("malformed");
            assert_eq!(error.rule(), format!("{service}/{method}"));
            let text = error.to_string();
            assert!(text.contains(problem), "{text}");
            assert!(
                matches!(&error, RuleError::Malformed { nearest: near, .. }
                if near.as_deref() == nearest),
                "{text}"
            );
        }
        for (service, nearest) in [
            ("/a.B", Some("a.B")),
            ("a.B/", Some("a.B")),
            ("a.B/C", None),
            ("", None),
            ("/", None),
            ("a B", None),
        ] {
            let error = RuleError::of_service(service).expect("malformed");
            assert!(
                matches!(&error, RuleError::Malformed { nearest: near, .. }
                if near.as_deref() == nearest),
                "{error}"
            );
        }
        assert_eq!(RuleError::of_method("orders.v1.OrderService", "CreateOrder"), None);
        assert_eq!(RuleError::of_service("OrderService"), None);
    }

    #[test]
    fn the_suggestion_is_the_qualified_name_or_the_one_with_the_fewest_edits() {
        let names = ["orders.v1.OrderService", "orders.v1.Admin", "billing.v1.Billing"];
        for (rule, near) in [
            ("OrderService", Some("orders.v1.OrderService")),
            ("v1.Admin", Some("orders.v1.Admin")),
            ("orders.v1.OrderServices", Some("orders.v1.OrderService")),
            ("orders.v1.orderservice", Some("orders.v1.OrderService")),
            ("order.v1.OrderService", Some("orders.v1.OrderService")),
            ("orders.v1.Adnim", None),
            ("orders.v1.Amin", Some("orders.v1.Admin")),
            ("orders.v1.Reports", None),
            ("Service", None),
            ("*", None),
        ] {
            assert_eq!(nearest(rule, names.into_iter()).as_deref(), near, "{rule}");
        }
        assert_eq!(nearest(&"a".repeat(300), [&*"a".repeat(299)].into_iter()), None);
    }

    proptest::proptest! {
        #[test]
        fn no_name_panics_and_every_accepted_name_occurs_in_a_path(
            service in "[a-zA-Z./?# é]{0,8}", method in "[a-zA-Z./?# é]{0,8}",
        ) {
            let path = PathAndQuery::try_from(format!("/{service}/{method}")).ok();
            let rpc = Rpc::from_path(path);
            let can_be = rpc.is_well_formed() && rpc.service() == service && rpc.method() == method;
            proptest::prop_assert_eq!(RuleError::of_method(&service, &method).is_none(), can_be);
        }
    }
}
