//! Who may call: whose tokens are believed, and what each method asks for.

mod counts;
mod dev_key;
mod key_file;
mod no_dev_key;
mod token;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tonic::server::NamedService;
use tonic_auth_layer::jwt::{Jwt, Readiness};
use tonic_auth_layer::{Access, AuthLayer, Outcome, authenticate_fn};
use tonic_call::Methods;

use crate::refusal::DOMAIN;
use crate::service::Orders;
use crate::v1::order_service_server::OrderServiceServer;

pub(crate) use dev_key::DevKey;
pub use dev_key::{DEV_KEY, dev_key_of};
pub use no_dev_key::NoDevKey;
pub(crate) use token::how_to_get_a_token;
pub use token::{CannotPrint, print_token};

/// Lets its holder see orders, and ask for prices.
pub const READ: &str = "orders.read";

/// Lets its holder make orders, and move them on.
pub const WRITE: &str = "orders.write";

/// The scope that each method asks for. Without a line here for each method nothing is served.
const RULES: [(&str, &str); 7] = [
    ("CreateOrder", WRITE),
    ("GetOrder", READ),
    ("ListOrders", READ),
    ("WatchOrder", READ),
    ("AdvanceOrder", WRITE),
    ("ImportOrders", WRITE),
    ("QuoteOrders", READ),
];

/// How often the gauges of keys are set.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Whoever comes: nobody is asked for anything.
    Anybody,
    /// Who has a token of this issuer.
    Issuer {
        /// Its `iss`.
        name: String,
        /// Who its tokens must be for.
        audience: String,
        /// Where its keys are; by default found by OpenID Connect discovery.
        keys: Option<KeySet>,
    },
    /// Who has a token of the development key in this file, which is made if it is not there.
    Development(PathBuf),
}

/// Where a JSON Web Key Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// There.
    Url(String),
    /// In this file, which is read again when it has changed.
    File(PathBuf),
}

/// Tells who is calling, and lets only those through who may.
#[derive(Clone, Debug)]
pub struct Guard {
    jwt: Jwt,
}

/// Why it can't be told who calls, and how to mend it.
#[derive(Debug)]
#[non_exhaustive]
pub enum CannotGuard {
    /// There is no development key.
    DevKey(NoDevKey),
    /// The issuer can't be believed as it was asked for.
    Issuer(String),
}

impl Callers {
    /// What tells them from others, if any are kept out. A token that lives longer than `longest_token` is
    /// refused. `behind` are the networks of the proxies that name their clients: bad tokens are counted
    /// to those.
    ///
    /// Inside a Tokio runtime keys are fetched from here on; nobody waits for them.
    pub fn guard(
        &self,
        longest_token: Duration,
        behind: &[String],
    ) -> Result<Option<Guard>, CannotGuard> {
        let issuer = match self {
            Self::Anybody => return Ok(None),
            Self::Issuer { name, audience, keys } => {
                let issuer = match keys {
                    None => Jwt::discover(name),
                    Some(KeySet::Url(url)) => Jwt::jwks_url(name, url),
                    Some(KeySet::File(path)) => Jwt::jwks_file(name, path),
                };
                issuer.audience(audience)
            }
            Self::Development(path) => {
                let key = DevKey::read_or_make(path).map_err(CannotGuard::DevKey)?;
                key.issuer()
            }
        };
        let issuer = issuer.max_lifetime(longest_token);
        let jwt = Jwt::builder().issuer(issuer).behind(behind).on_keys(counts::fetch).build();
        let jwt = jwt.map_err(|error| CannotGuard::Issuer(error.to_string()))?;
        Ok(Some(Guard { jwt }))
    }
}

impl Guard {
    /// Whether it can tell, now and from now on.
    pub(crate) fn readiness(&self) -> Readiness {
        self.jwt.readiness()
    }

    /// Waits until that changes, and meanwhile keeps the gauges of its keys.
    pub(crate) async fn changed(&self, readiness: &mut Readiness) -> bool {
        let mut gauges = tokio::time::interval(GAUGES_EVERY);
        loop {
            tokio::select! {
                ready = readiness.changed() => {
                    counts::keys(&self.jwt);
                    return ready;
                }
                _ = gauges.tick() => counts::keys(&self.jwt),
            }
        }
    }

    /// As a layer around services that have these methods.
    pub(crate) fn layer(&self, methods: &Methods) -> Result<AuthLayer, String> {
        counts::begin();
        let auth = AuthLayer::new(self.jwt.clone())
            .methods(methods)
            .every_method_ruled()
            .public_health()
            .public_reflection()
            .end_streams_at_expiry()
            .remove_credentials()
            .domain(DOMAIN)
            .realm("orders")
            .on_decision(counts::decision);
        let service = <OrderServiceServer<Orders> as NamedService>::NAME;
        let auth = RULES
            .into_iter()
            .fold(auth, |auth, (method, scope)| auth.method(service, method, Access::scope(scope)));
        auth.build().map_err(|error| error.to_string())
    }
}

/// The layer where nobody is asked who calls: everything is public.
pub(crate) fn everybody() -> Result<AuthLayer, String> {
    let nobody = authenticate_fn(|_| Outcome::Absent);
    let auth = AuthLayer::new(nobody).default_access(Access::public()).domain(DOMAIN);
    auth.build().map_err(|error| error.to_string())
}

impl fmt::Display for CannotGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DevKey(error) => error.fmt(f),
            Self::Issuer(error) => {
                write!(f, "cannot tell who calls: {error}; check --issuer, --audience and --jwks")
            }
        }
    }
}

impl std::error::Error for CannotGuard {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards against: a method that is new in the proto, and that nobody thought of here.
    #[test]
    fn every_method_has_its_scope() {
        let methods = Methods::from_descriptor_set(crate::FILE_DESCRIPTOR_SET).expect("good");
        let mut described: Vec<_> = methods.iter().map(tonic_call::Method::name).collect();
        let mut ruled = RULES.map(|(method, _)| method);
        described.sort_unstable();
        ruled.sort_unstable();
        assert_eq!(described, ruled);
    }
}
