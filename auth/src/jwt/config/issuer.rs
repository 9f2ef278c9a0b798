use std::any::Any;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::own_claims::OwnClaims;
use super::scopes::ScopesAt;
use super::tenants::TenantConfig;
use crate::jwt::keys::key::Key;
#[cfg(feature = "http")]
use crate::jwt::keys::source::http::HttpConfig;
use crate::jwt::keys::store::Pace;
use crate::jwt::token::algorithm::Algorithm;
use crate::jwt::token::header::Typ;

/// An issuer that is believed, and what its tokens must say.
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
    File(PathBuf),
    #[cfg(feature = "http")]
    Url(String),
    #[cfg(feature = "http")]
    Discovery,
}

impl Issuer {
    pub(crate) fn new(name: String, keys: KeysFrom) -> Self {
        // A file costs nothing to read.
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

    /// Adds who a token must be for: us. At least one is needed, and a token needs one of them, in
    /// exactly this spelling. Only tokens of [Amazon Cognito](Self::cognito) do without.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets by which algorithms its tokens may be signed. By default `RS256`, `ES256` and `EdDSA`, and
    /// with given keys what they are for.
    ///
    /// A key of RSA that does not say for which algorithm it is, is for the first RSA one of these.
    pub fn algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        Self { algorithms: Some(algorithms.into_iter().collect()), ..self }
    }

    /// Sets how far its clock may be from ours: by default 60 s, at most 10 min.
    pub fn leeway(self, leeway: Duration) -> Self {
        Self { leeway, ..self }
    }

    /// Sets how long a token may be good for, from its `iat`, or from now if it has none. By default as
    /// long as the issuer says.
    pub fn max_lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Sets what a token's `typ` must be, with `application/` implied, whatever the case. By default it is
    /// absent, `JWT` or `at+jwt`, so that an ID token of a kind of its own is none.
    ///
    /// Most ID tokens have no kind of their own: where the audience is also a client's name, such a token
    /// passes for an access token. If the issuer can write those of RFC 9068, take [no
    /// others](Self::rfc9068).
    pub fn typ(self, typ: impl Into<String>) -> Self {
        Self { typ: Typ::Exactly(typ.into()), ..self }
    }

    /// Sets where the scopes are, as a JSON pointer: `/realm_access/roles`. By default they are in `scope`,
    /// or in `scp`. Either way they are a text with spaces or an array of texts.
    pub fn scopes_at(self, pointer: impl Into<String>) -> Self {
        Self { scopes: ScopesAt::Pointer(pointer.into()), ..self }
    }

    /// Reads the claims into a type of yours, once per token, for [`Identity::data`](crate::Identity::data)
    /// to give. A token whose claims don't fit is refused by the check `claims`: the operator is told the
    /// type's name, and what serde says, which may quote a claim. Each issuer can have a type of its own.
    ///
    /// They are read when all else was found good, before it is asked whether the token is
    /// [revoked](crate::jwt::JwtBuilder::revoked), and kept with a token that is
    /// [remembered](crate::jwt#tokens-that-are-remembered). A panic in it refuses the call with `UNAVAILABLE`.
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
    /// fn believe(issuer: Issuer) -> Result<Jwt, JwtError> {
    ///     issuer.audience("orders").claims_as::<Employee>().build()
    /// }
    ///
    /// async fn tenant(request: Request<()>) -> Result<Response<String>, Status> {
    ///     let caller = Identity::of(&request)?;
    ///     // `None` if another authenticator has found the caller.
    ///     let employee = caller.data::<Employee>().ok_or(Status::permission_denied("no employee"))?;
    ///     Ok(Response::new(format!("{} of {:?}", employee.tenant, employee.groups)))
    /// }
    /// ```
    pub fn claims_as<T: DeserializeOwned + Any + Send + Sync>(self) -> Self {
        Self { claims: Some(OwnClaims::of::<T>()), ..self }
    }

    /// Takes access tokens of RFC 9068 and nothing else: `typ` is `at+jwt`, and `sub`, `client_id`, `iat`
    /// and `jti` are there.
    pub fn rfc9068(self) -> Self {
        Self {
            typ: Typ::Exactly("at+jwt".to_owned()),
            required: &["sub", "client_id", "jti"],
            issued: true,
            ..self
        }
    }

    /// Takes tokens of Kubernetes' service accounts and nothing else: `sub` begins with
    /// `system:serviceaccount:`, and `typ` is absent or `JWT`.
    ///
    /// With keys by discovery or from a URL, the cluster's certificate and the pod's own token are taken
    /// from where Kubernetes mounts them, each time, unless others are given: the cluster's issuer asks for
    /// both. So it is for the issuer that the cluster itself is. The pod's token is sent to that issuer's own scheme,
    /// host and port alone; if its document says that the keys are at another one, as it does by default,
    /// name a [URL instead](crate::jwt#in-kubernetes).
    ///
    /// An issuer outside, as managed clusters have, wants neither: there set [`typ`](Self::typ) and the
    /// rest by hand.
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

    /// Sets how often keys are fetched again, or their file is read: by default every 5 min, of a file
    /// every 5 s. At least a millisecond and at most a day, as the two below.
    pub fn refresh_every(mut self, every: Duration) -> Self {
        self.pace.every = every;
        self
    }

    /// Sets how long a fetch may take: by default 5 s.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.pace.timeout = timeout;
        self
    }

    /// Sets how long after a fetch that was asked for, by an unknown `kid` or by [`Jwt::refresh`](crate::Jwt::refresh), no other is
    /// begun for that: by default 30 s, of a file 5 s. One fetch at its end serves all who ask
    /// meanwhile.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.pace.cool_down = cool_down;
        self
    }

    /// Sets how long keys serve after they were last fetched, while the issuer is away: by default 24 h, at
    /// least as long as there is [between fetches](Self::refresh_every). From then on tokens are refused with
    /// `UNAVAILABLE`, and the verifier is not [ready](crate::Jwt::readiness).
    pub fn stale_for(mut self, stale: Duration) -> Self {
        self.pace.stale = stale;
        self
    }
}

#[cfg(feature = "http")]
impl Issuer {
    /// Sets whose certificates the key server may have, as PEM: those given here and no others. By
    /// default those that the platform trusts.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.roots = Some(crate::jwt::keys::source::http::Roots::Pem(pem.into()));
        self
    }

    /// Sends the token that is in this file with each fetch, to the scheme, host and port that were given
    /// (the issuer's, or those of the URL of its keys) and to no other, wherever the issuer says that its
    /// keys are. The file is read each time: such tokens are short-lived.
    pub fn bearer_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.http.bearer_file = Some(path.into());
        self
    }

    /// Fetches keys without TLS, too: whoever can change the answer on its way can make tokens. Without
    /// it only loopback is asked so. What is found by way of TLS is never fetched without it.
    pub fn allow_unencrypted(mut self) -> Self {
        self.http.plain = true;
        self
    }
}
