//! `interop client`.

mod cases;
mod check;
mod compressed;
mod connect;
mod endings;
mod run;
mod statuses;
mod streaming;
mod unary;

pub(crate) use self::run::run;
