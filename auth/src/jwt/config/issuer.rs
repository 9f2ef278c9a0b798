use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::own_claims::OwnClaims;
use super::scopes::ScopesAt;
use super::tenants::TenantConfig;
use crate::jwt::keys::key::Key;
#[cfg(feature = "jsonwebtoken")]
use crate::jwt::keys::key::decoder::DecodingKeys;
#[cfg(feature = "http")]
use crate::jwt::keys::source::http::HttpConfig;
use crate::jwt::keys::store::Pace;
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::header::Typ;

/// A trusted issuer, and the requirements for its tokens.
///
/// Made by [`Jwt::discover`](crate::Jwt::discover), [`Jwt::jwks_url`](crate::Jwt::jwks_url),
/// [`Jwt::jwks_file`](crate::Jwt::jwks_file) or [`Jwt::keys`](crate::Jwt::keys).
#[derive(Clone, Debug)]
#[must_use]
pub struct Issuer {
    pub(crate) name: String,
    pub(crate) keys: KeysFrom,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) leeway: Duration,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) typ: Typ,
    pub(crate) required: &'static [&'static str],
    pub(crate) issued: bool,
    pub(crate) subject: Option<&'static str>,
    pub(crate) exactly: &'static [(&'static str, &'static str)],
    pub(crate) clients: Option<Vec<String>>,
    pub(crate) tenants: Option<TenantConfig>,
    pub(crate) scopes: ScopesAt,
    pub(crate) claims: Option<OwnClaims>,
    pub(crate) pace: Pace,
    #[cfg(feature = "http")]
    pub(crate) http: HttpConfig,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub(crate) enum KeysFrom {
    Given(Vec<Key>),
    #[cfg(feature = "jsonwebtoken")]
    Jsonwebtoken(Box<DecodingKeys>),
    File(PathBuf),
    #[cfg(feature = "http")]
    Url(String),
    #[cfg(feature = "http")]
    Discovery,
}

impl Issuer {
    pub(crate) fn new(name: String, keys: KeysFrom) -> Self {
        // Reading a file is cheap.
        let every = if matches!(keys, KeysFrom::File(_)) { 5 } else { 300 };
        let seconds = Duration::from_secs;
        Self {
            name,
            keys,
            audiences: Vec::new(),
            algorithms: None,
            leeway: seconds(60),
            lifetime: None,
            typ: Typ::Usual,
            required: &[],
            issued: false,
            subject: None,
            exactly: &[],
            clients: None,
            tenants: None,
            scopes: ScopesAt::Usual,
            claims: None,
            pace: Pace {
                every: seconds(every),
                timeout: seconds(5),
                cool_down: seconds(30.min(every)),
                stale: seconds(24 * 60 * 60),
            },
            #[cfg(feature = "http")]
            http: HttpConfig::default(),
        }
    }

    /// Adds an audience: a name of this service. At least one is required, and a token must contain one of them
    /// exactly. Only tokens of [Amazon Cognito](Self::cognito) need none.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the allowed algorithms. Default: `RS256`, `ES256` and `EdDSA`; with given keys, their algorithms.
    ///
    /// An RSA key without `alg` is for the first RSA algorithm in this list.
    pub fn algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self { algorithms: Some(algorithms.into_iter().collect()), ..self }
    }

    /// Sets the tolerated clock difference. Default: 60 s. At most 10 min.
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Sets the maximum lifetime of a token, from its `iat`, or from now if it has none. Default: unlimited.
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Sets the required `typ`, case-insensitive, with `application/` implied. Default: absent, `JWT` or `at+jwt`.
    ///
    /// Most ID tokens have no `typ` of their own. If the audience is also a client's name, such an ID token is
    /// accepted as an access token. If the issuer supports RFC 9068, [require it](Self::rfc9068).
    pub fn typ(self, typ: impl Into<String>) -> Self {
        Self { typ: Typ::Exactly(typ.into()), ..self }
    }

    /// Sets where the scopes are, as a JSON pointer: `/realm_access/roles`. Default: `scope`, or `scp`. The value is
    /// a space-separated string or an array of strings.
    pub fn scopes_at(self, pointer: impl Into<String>) -> Self {
        Self { scopes: ScopesAt::Pointer(pointer.into()), ..self }
    }

    /// Deserializes the claims into a type of yours, once per token; [`Identity::data`](crate::Identity::data)
    /// returns it. A token whose claims don't fit is refused by the check `claims`: the operator sees the type's
    /// name and serde's error, which can quote a claim. Each issuer can have its own type.
    ///
    /// They are deserialized after all other checks except [revocation](crate::jwt::JwtBuilder::revoked), and
    /// [cached](crate::jwt#cached-tokens) with the token. A panic in it refuses the call with `UNAVAILABLE`.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tonic::{Request, Response, Status};
    /// use tonic_auth_layer::Identity;
    /// use tonic_auth_layer::jwt::{Issuer, Jwt, JwtError};
    ///
    /// #[derive(Deserialize)]
    /// struct Employee {
    ///     tenant: String,
    ///     #[serde(default)]
    ///     groups: Vec<String>,
    /// }
    ///
    /// fn verifier(issuer: Issuer) -> Result<Jwt, JwtError> {
    ///     issuer.audience("orders").claims_as::<Employee>().build()
    /// }
    ///
    /// async fn tenant(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let caller = Identity::of(&request)?;
    ///     // `None` if the caller was authenticated by another authenticator.
    ///     let employee = caller.data::<Employee>().ok_or(Status::permission_denied("no employee"))?;
    ///     Ok(Response::new(format!("{} of {:?}", employee.tenant, employee.groups)))
    /// }
    /// ```
    pub fn claims_as<T: DeserializeOwned + Any + Send + Sync>(self) -> Self {
        Self { claims: Some(OwnClaims::of::<T>()), ..self }
    }

    /// Requires access tokens of RFC 9068: `typ` is `at+jwt`, and `sub`, `client_id`, `iat` and `jti` are present.
    pub fn rfc9068(self) -> Self {
        Self {
            typ: Typ::Exactly("at+jwt".to_owned()),
            required: &["sub", "client_id", "jti"],
            issued: true,
            ..self
        }
    }

    /// Requires tokens of Kubernetes service accounts: `sub` begins with `system:serviceaccount:`, and `typ` is
    /// absent or `JWT`.
    ///
    /// For keys by discovery or from a URL, the cluster's certificate and the pod's own token are read for each
    /// fetch from where Kubernetes mounts them, unless others are set: the cluster requires both. The pod's token is
    /// sent only to the scheme, host and port of the issuer. If the discovery document names another host for the
    /// keys, as it does by default, set a [URL instead](crate::jwt#kubernetes).
    ///
    /// An external issuer, as managed clusters have, needs neither: set [`typ`](Self::typ) and the other requirements
    /// yourself.
    pub fn kubernetes(self) -> Self {
        let this = Self {
            typ: Typ::Plain,
            required: &["sub"],
            subject: Some("system:serviceaccount:"),
            ..self
        };
        #[cfg(feature = "http")]
        let this = Self { http: this.http.kubernetes(), ..this };
        this
    }

    /// Sets how often keys are fetched. Default: every 5 min; for a file, every 5 s. From 1 ms to 1 day, like
    /// [`fetch_timeout`](Self::fetch_timeout) and [`cool_down`](Self::cool_down).
    pub fn refresh_every(mut self, every: Duration) -> Self {
        self.pace.every = every;
        self
    }

    /// Sets how long a fetch may take. Default: 5 s.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.pace.timeout = timeout;
        self
    }

    /// Sets the minimum time between two requested fetches, by an unknown `kid` or by
    /// [`Jwt::refresh`](crate::Jwt::refresh). Default: 30 s; for a file, 5 s. One fetch at its end serves all
    /// requests in between.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.pace.cool_down = cool_down;
        self
    }

    /// Sets how long keys are used after the last successful fetch, if the issuer is unreachable. Default: 24 h. At
    /// least [`refresh_every`](Self::refresh_every). After that, tokens are refused with `UNAVAILABLE`, and the
    /// verifier is not [ready](crate::Jwt::readiness).
    pub fn stale_for(mut self, stale: Duration) -> Self {
        self.pace.stale = stale;
        self
    }
}

#[cfg(feature = "http")]
impl Issuer {
    /// Sets the trusted root certificates for the key server, as PEM; no others are trusted. Default: those of the
    /// platform.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.roots = Some(crate::jwt::keys::source::http::Roots::Pem(pem.into()));
        self
    }

    /// Sends the token in this file with each fetch, but only to the configured scheme, host and port: those of the
    /// issuer, or of the URL of its keys. The file is read for each fetch, because such tokens are short-lived.
    pub fn bearer_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.bearer_file = Some(path.into());
        self
    }

    /// Allows fetching keys without TLS: an attacker who can change the response can forge tokens. Default: only from
    /// loopback. Keys from a discovery document that was fetched over TLS are never fetched without TLS.
    pub fn allow_unencrypted(mut self) -> Self {
        self.http.plain = true;
        self
    }
}
