//! Sends credentials with the calls of a client.

mod builder;
mod file;
mod layer;
mod service;
mod source;
mod token;
mod token_async;

pub use self::builder::{CredentialsBuilder, Destination, NotEncrypted};
pub use self::file::{TokenFile, TokenFileError};
pub use self::layer::CredentialsLayer;
pub use self::service::{Credentials, CredentialsFuture};
pub use self::source::{NoToken, Obtaining, TokenSource};
pub use self::token::{BadToken, BearerToken};
pub use self::token_async::{TokenAsync, token_async};
