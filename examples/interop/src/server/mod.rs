//! `interop serve`.

mod service;
mod start;
mod streams;
mod trailers;

pub(crate) use self::start::serve;
