//! Who is calling, and may they.

mod access;
mod answers;
mod api_keys;
mod authenticate;
mod body;
mod builder;
mod clock;
mod combined;
#[cfg(feature = "client")]
mod credentials;
mod decision;
mod expiry;
mod failure;
mod function;
mod future;
mod guarded;
mod identity;
mod incoming;
pub mod jwt;
mod layer;
mod secrets;
mod service;
mod settings;

pub use self::access::Access;
pub use self::api_keys::{ApiKeyError, ApiKeys, KEY_AT_LEAST};
pub use self::authenticate::{Authenticate, Authenticating, Outcome};
pub use self::body::ResponseBody;
pub use self::builder::{AuthBuilder, BuildError};
pub use self::clock::Clock;
pub use self::combined::{AllOf, AnyOf, all_of, any_of};
#[cfg(feature = "client")]
pub use self::credentials::{
    BadToken, BearerToken, Credentials, CredentialsBuilder, CredentialsFuture, CredentialsLayer,
    NoToken, NotEncrypted, Obtaining, TokenAsync, TokenFile, TokenFileError, TokenSource,
    token_async,
};
pub use self::decision::{Decision, Verdict};
pub use self::failure::{Failure, RECEIVED_AT_MOST, Reason};
pub use self::function::{AuthenticateAsync, AuthenticateFn, authenticate_async, authenticate_fn};
pub use self::future::ResponseFuture;
pub use self::identity::{Identity, NoIdentity};
pub use self::incoming::{CREDENTIALS_AT_MOST, Head, Incoming};
pub use self::layer::AuthLayer;
pub use self::service::Auth;
