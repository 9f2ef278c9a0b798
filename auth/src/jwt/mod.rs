//! JSON Web Tokens: which are believed, and by which keys.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use tonic_auth_layer::jwt::Jwt;
//!
//! # #[cfg(feature = "http")]
//! # fn build() -> Result<(), tonic_auth_layer::jwt::JwtError> {
//! let jwt = Jwt::discover("https://id.example")
//!     .audience("orders")
//!     .max_lifetime(Duration::from_secs(24 * 60 * 60)) // a token that lives longer is refused
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! Building waits for nobody: the keys come in the background, and until they are there calls are
//! refused with `UNAVAILABLE`. A health service follows [`Jwt::readiness`]: keys can be withdrawn, or become
//! too old.
//!
//! Several issuers, each with keys and rules of its own:
//!
//! ```
//! use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (pem, secret) = (PEM, [7; 32]);
//! let partner = Jwt::keys("https://partner.example", [Key::pem(Algorithm::ES256, pem)?])
//!     .audience("orders")
//!     .rfc9068();
//! let ours = Jwt::keys("orders-dev", [Key::secret(Algorithm::HS256, secret)?])
//!     .audience("orders")
//!     .scopes_at("/realm_access/roles");
//! let jwt = Jwt::builder().issuer(partner).issuer(ours).build()?;
//! # Ok(())
//! # }
//! # const PEM: &str = "-----BEGIN PUBLIC KEY-----
//! # MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
//! # 6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
//! # -----END PUBLIC KEY-----";
//! ```
//!
//! # What is checked
//!
//! In this order; what fails first is what the operator is told, by the name in the first column.
//!
//! | check | what passes |
//! |---|---|
//! | `repeated`, `length`, `authorization`, `b64token` | one `authorization` of at most 8 KiB: `Bearer`, in any case, and a token |
//! | `format`, `header`, `payload` | three parts of base64url with one spelling: no JSON serialisation, no encrypted token, something in each |
//! | `header`, `payload` | one JSON object each, without a member that stands twice at any depth, and not nested deeper than 32 |
//! | `alg` | an algorithm, in exactly its spelling; `none` is not one |
//! | `crit`, `b64`, `enc`, `zip` | no extension that changes what the token means; other members are ignored, and keys that they name or bring (`jku`, `x5u`, `jwk`, `x5c`) are never used |
//! | `kid`, `typ` | absent, or a text |
//! | `iss`, `exp`, `nbf`, `iat` | a text and three numbers, of which only the first two must be there; the numbers are seconds, none after the year 9999, and of `exp` and `iat` none before 1970 |
//! | `iss` | one of the issuers, to the letter; of an issuer with [tenants](Issuer::tenants), its name with a tenant in it |
//! | `tenant` | a tenant that is allowed, and that the issuer's claim names too |
//! | `alg` | one of that [issuer's](Issuer::algorithms) |
//! | `typ` | absent, `JWT` or `at+jwt`, or what the [issuer](Issuer::typ) is said to write |
//! | `token_use` | `access`, for tokens of [Amazon Cognito](Issuer::cognito) |
//! | `aud` | one of [our names](Issuer::audience), to the letter; absent only for tokens of Amazon Cognito |
//! | `client_id` | one of the app clients, to the letter, for tokens of Amazon Cognito |
//! | `exp` | later than now, give or take the [leeway](Issuer::leeway) |
//! | `nbf` | absent, or not later than now, give or take the leeway |
//! | `exp` | not further off than the [longest lifetime](Issuer::max_lifetime) |
//! | `sub` and what a preset asks for | a text, and not an empty one; only what a preset asks for must be there |
//! | `cnf` | absent: a token that is bound to a key is not taken from just anybody |
//! | `failures` | the client's address has not sent too many bad tokens of late |
//! | `keys` | keys of the issuer, not too old |
//! | `kid` | a key of the issuer's that has this name; if the token names none, the only key for its algorithm |
//! | `alg` | the one algorithm of that key |
//! | `key_issuer` | for an issuer with tenants: a key that says nothing of its issuer, or the token's own |
//! | `signature` | the key's, in base64url with one spelling |
//! | `scope`, `scopes_at` | absent, a text, or an array of texts |
//! | `claims` | what fits the type that the issuer's [are read into](Issuer::claims_as) |
//! | `revoked` | a token that [is not](JwtBuilder::revoked) |
//!
//! # What the caller sees
//!
//! | | code | reason |
//! |---|---|---|
//! | no token | `UNAUTHENTICATED` | `CREDENTIALS_MISSING` |
//! | the header is not in order | `UNAUTHENTICATED` | `CREDENTIALS_MALFORMED` |
//! | `exp` is over | `UNAUTHENTICATED` | `TOKEN_EXPIRED` |
//! | any other check fails | `UNAUTHENTICATED` | `TOKEN_INVALID` |
//! | `failures` | `RESOURCE_EXHAUSTED` | `RATE_LIMITED` |
//! | `keys`, or something panics | `UNAVAILABLE` | `VERIFIER_UNAVAILABLE` |
//!
//! # What the operator sees
//!
//! The check with what was expected and received, in the layer's log line and hook: claims and names
//! of the token, bounded and escaped, never its text. [`JwtBuilder::on_keys`] is told how each fetch
//! of keys ended and how old the keys are; [`Jwt::keys_status`] tells the same at any time, the cool-down, and
//! how many tokens had an unknown `kid`; [`Jwt::refresh`] asks for a fetch. Events of the target `tonic_auth_layer` say `WARN` when
//! keys could not be fetched and for each key of a set that is refused, `ERROR` when none is left, and `INFO` when a set has
//! changed, and `WARN` once when an address has sent too many bad tokens: a proxy, perhaps.
//!
//! # Keys
//!
//! Each key verifies by one algorithm: the one that its `alg` says; without `alg` the one of its curve,
//! or for RSA the first that the issuer is allowed. Secrets are at least as long as their hash, RSA
//! keys have 2048 to 8192 bits, and Ed25519 keys are not of small order. Of a set, keys are left out, with a reason, that are secret or private,
//! for another use (`use`, `key_ops`), of an unknown type or curve, too weak, malformed, not allowed to
//! the issuer, or that share their `kid` with a different key; the others serve.
//!
//! A set that was fetched replaces the one before, whatever is in it: a key that is no longer there
//! verifies nothing, and what it has signed is no longer remembered. If no key of it can be used, or none
//! is in it, there are no keys: calls are refused with `UNAVAILABLE`, an `ERROR` says so, and it is
//! fetched again soon. What is no set at all replaces nothing. A file is held to the same.
//!
//! Keys from a URL or by discovery (feature `http`) are fetched over TLS ([features](crate#features) `tls-ring`
//! and `tls-aws-lc`), without TLS only from loopback
//! or where [said](Issuer::allow_unencrypted) so. A fetch takes at most 5 s and 1 MiB, yields at most 100
//! keys, goes by no proxy, and follows no redirect, nor a document that came by TLS to where there is none.
//! They are fetched again after 5 min, or while the issuer is away after pauses of 1 s to 60 s. While it is away
//! the last keys serve, for 24 h. No lock is held while keys are fetched, and no good token waits for it.
//!
//! A `kid` that is unknown causes one fetch, and its call waits for it: at most 1,024 calls in all, and 64 of
//! one address. In the 30 s after such a fetch (the [cool-down](Issuer::cool_down)) nobody waits: a `kid` that
//! the fetched set does not have is `TOKEN_INVALID`, like that of a key which was refused, and one more fetch
//! is scheduled for the end of the cool-down. So a new key is known after 30 s at the latest, however many
//! `kid`s a stranger invents. `UNAVAILABLE` is for when no keys are there, or when the last fetch failed.
//! None of this is charged to the caller's address: it costs a look-up. A token that names no key causes no
//! fetch: where tokens name none, a new key is known after 5 min.
//!
//! A file of keys is read when the verifier is built, and again every 5 s.
//!
//! # Tokens that are remembered
//!
//! By their SHA-256, 10,000 of them ([`JwtBuilder::cache`]), and only good ones. When a token comes again,
//! its times, its key and whether it is revoked are looked at again, and so is the method's access. What
//! its claims were [read into](Issuer::claims_as) is remembered with it.
//!
//! # In Kubernetes
//!
//! The cluster is an issuer, of the tokens that pods have. It shows its keys to whoever trusts the cluster's
//! certificate and has a token of a service account; [`Issuer::kubernetes`] takes both from where they are
//! mounted into each pod:
//!
//! ```no_run
//! use tonic_auth_layer::jwt::Jwt;
//!
//! # #[cfg(feature = "http")]
//! # fn build() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = "https://kubernetes.default.svc.cluster.local"; // the `iss` of a pod's token
//! let keys = "https://kubernetes.default.svc/openid/v1/jwks";
//! let jwt = Jwt::jwks_url(issuer, keys).kubernetes().audience("orders").build()?;
//!
//! // Or from where else they are:
//! let jwt = Jwt::jwks_url(issuer, keys)
//!     .kubernetes()
//!     .root_certificates(std::fs::read("/etc/cluster/ca.crt")?) // read once
//!     .bearer_file("/etc/cluster/token")                        // read for each fetch
//!     .audience("orders")
//!     .build()?;
//! # Ok(())
//! # }
//! ```
//!
//! A caller's pod gets a token for `orders` by a projected volume (`serviceAccountToken` with
//! `audience: orders`): the one that is mounted by default is for the cluster itself, and is refused.
//!
//! # Issuers with rules of their own
//!
//! None of these holds by default.
//!
//! | issuer | its tokens | what to set |
//! |---|---|---|
//! | any that follows RFC 9068 | are `at+jwt`, apart from its ID tokens | [`Issuer::rfc9068`] |
//! | Kubernetes | are of service accounts | [`Issuer::kubernetes`] |
//! | Amazon Cognito | have no `aud`: `client_id` and `token_use` say what they are for | [`Issuer::cognito`] |
//! | Microsoft Entra, for many tenants | have an `iss` per tenant, and one `aud` for all | [`Issuer::tenants`] |
//!
//! # What it doesn't do
//!
//! - Replay: whoever has a bearer token can use it until it expires. Tokens bound to a key (DPoP, mutual
//!   TLS) are refused, not verified.
//! - Encrypted tokens (JWE) are refused.
//! - Tokens of one issuer are not looked up elsewhere (introspection): that is an authenticator of your
//!   own.

pub(crate) mod config;
pub(crate) mod keys;
pub(crate) mod token;
pub(crate) mod verify;

pub use self::config::builder::JwtBuilder;
pub use self::config::error::JwtError;
pub use self::config::issuer::Issuer;
pub use self::keys::events::{FetchResult, KeysEvent, KeysStatus};
pub use self::keys::key::{Key, KeyError};
pub use self::keys::readiness::Readiness;
pub use self::token::algorithm::Algorithm;
pub use self::verify::authenticator::Jwt;
