//! Authentication of callers: which tokens and client certificates are accepted, the development key, and the scope that
//! each method requires.

mod callers;
mod certificates;
mod config;
mod dev_key;
mod key_file;
mod metrics;
mod no_dev_key;
mod scopes;
mod token;
mod verifier;

pub use callers::Callers;
pub(crate) use callers::log_certificate;
pub use certificates::{CertificateConfig, MeshProxy, SpiffeCallers};
pub use config::{Auth, AuthConfig, KeySet};
pub(crate) use dev_key::DevKey;
pub use dev_key::{DEV_KEY, dev_key_of};
pub use no_dev_key::NoDevKey;
pub use scopes::{READ, WRITE};
pub(crate) use token::how_to_get_a_token;
pub use token::{CannotPrint, print_token};
pub use verifier::{AuthConfigError, TokenVerifier};
