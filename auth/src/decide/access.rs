//! Access rules.

use std::fmt;
use std::sync::Arc;

use tonic_call::Rpc;

use super::failure::{Failure, Reason};
use super::identity::Identity;

/// Which callers may call a method.
///
/// ```
/// use tonic_auth_layer::Access;
///
/// let write = Access::scope("orders.write");
/// let report = Access::any_scope(["orders.read", "audit"]);
/// let staff = Access::function("staff", |identity, _rpc| identity.method() == "mtls");
/// ```
///
/// A scope that no token can contain, and an empty list of scopes, are errors of
/// [`AuthBuilder::build`](crate::AuthBuilder::build).
#[derive(Clone)]
pub struct Access(Rule);

#[derive(Clone)]
enum Rule {
    Public,
    Authenticated,
    Scopes { scopes: Arc<[Box<str>]>, need: Need },
    Function { name: &'static str, allows: Allows },
}

type Allows = Arc<dyn Fn(&Identity, &Rpc) -> bool + Send + Sync>;

/// How many of its scopes a rule requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    All,
    Any,
}

impl Access {
    /// Every caller: credentials are not checked, and the handler finds no identity.
    pub fn public() -> Self {
        Self(Rule::Public)
    }

    /// Every authenticated caller.
    pub fn authenticated() -> Self {
        Self(Rule::Authenticated)
    }

    /// Callers with this scope.
    pub fn scope(scope: &str) -> Self {
        Self::all_scopes([scope])
    }

    /// Callers with all of these scopes.
    pub fn all_scopes<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::scopes(scopes, Need::All)
    }

    /// Callers with at least one of these scopes.
    pub fn any_scope<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>) -> Self {
        Self::scopes(scopes, Need::Any)
    }

    fn scopes<S: Into<Box<str>>>(scopes: impl IntoIterator<Item = S>, need: Need) -> Self {
        Self(Rule::Scopes { scopes: scopes.into_iter().map(Into::into).collect(), need })
    }

    /// Authenticated callers for whom `allows` returns true. If it does not, the operator sees `name` as the failed
    /// check. A panic in it refuses the call.
    pub fn function(
        name: &'static str,
        allows: impl Fn(&Identity, &Rpc) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Rule::Function { name, allows: Arc::new(allows) })
    }

    pub(crate) fn is_public(&self) -> bool {
        matches!(self.0, Rule::Public)
    }

    /// The required scopes, if there are any.
    pub(crate) fn needs(&self) -> Option<(&[Box<str>], Need)> {
        match &self.0 {
            Rule::Scopes { scopes, need } => Some((scopes, *need)),
            _ => None,
        }
    }

    /// Checks whether that caller may call that method.
    pub(crate) fn allows(&self, identity: &Identity, rpc: &Rpc) -> Result<(), Failure> {
        match &self.0 {
            Rule::Public | Rule::Authenticated => Ok(()),
            Rule::Scopes { scopes, need } => {
                // An empty list grants nothing: neither `any` of it nor `all` of it.
                let enough = match need {
                    Need::All => {
                        !scopes.is_empty() && scopes.iter().all(|scope| identity.has_scope(scope))
                    }
                    Need::Any => scopes.iter().any(|scope| identity.has_scope(scope)),
                };
                if enough { Ok(()) } else { Err(lacking(scopes, identity)) }
            }
            Rule::Function { name, allows } => match allows(identity, rpc) {
                true => Ok(()),
                false => Err(Failure::new(Reason::AccessDenied, name)),
            },
        }
    }

    /// What is wrong with the rule: something that no caller can satisfy.
    pub(crate) fn fault(&self) -> Option<String> {
        let (scopes, _) = self.needs()?;
        if scopes.is_empty() {
            return Some("an empty list of scopes".to_owned());
        }
        let bad = scopes.iter().find(|scope| !is_scope(scope))?;
        Some(format!("the scope {bad:?}, which no token can contain"))
    }
}

fn lacking(scopes: &[Box<str>], identity: &Identity) -> Failure {
    let held = identity.scopes().collect::<Vec<_>>().join(" ");
    Failure::new(Reason::ScopeInsufficient, "scope").expected(scopes.join(" ")).received(&held)
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3)
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Public => f.write_str("Public"),
            Rule::Authenticated => f.write_str("Authenticated"),
            Rule::Scopes { scopes, need } => write!(f, "Scopes({need:?} of {scopes:?})"),
            Rule::Function { name, .. } => write!(f, "Function({name:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_scopes_at_all_nobody_has_enough() {
        let identity = Identity::new("test").with_scopes(["a"]);
        let rpc = Rpc::from_path(None);
        for access in [Access::all_scopes::<&str>([]), Access::any_scope::<&str>([])] {
            assert!(access.allows(&identity, &rpc).is_err() && access.fault().is_some());
        }
    }
}
