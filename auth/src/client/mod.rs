//! Sends credentials with the calls of a client.

mod builder;
mod file;
mod layer;
mod service;
mod source;
mod token;

pub use self::builder::{CredentialsBuilder, NotEncrypted};
pub use self::file::{TokenFile, TokenFileError};
pub use self::layer::CredentialsLayer;
pub use self::service::{Credentials, CredentialsFuture};
pub use self::source::{NoToken, Obtaining, TokenAsync, TokenSource, token_async};
pub use self::token::{BadToken, BearerToken};
