//! JSON Web Tokens: which are believed, and by which keys.

mod algorithm;
mod fault;
mod key;
mod rules;
mod scopes;
mod token;

pub use self::algorithm::Algorithm;
pub use self::key::{Key, KeyError};
