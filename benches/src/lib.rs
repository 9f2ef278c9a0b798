//! The subjects of the benches: one tonic service, bare and behind layers, called in process.
//!
//! Everything is ready at once and nothing is sent, so that what is measured is what tonic and the
//! layers do for a call: decoding, the handler, encoding, and reading the response to its end.

mod service;
mod subject;

pub use self::subject::{Call, Subject, subjects};
