//! Limits: how they are written, and how they are enforced.

mod enforced;
mod in_flight;
mod key;
mod limit;
mod pace;
mod parse;
mod quota;
mod rules;
#[cfg(feature = "redis")]
mod share;
mod sharing;
mod single;
mod store;
mod table;
mod usage;

pub use self::in_flight::{Concurrency, InFlight};
pub use self::key::Key;
pub use self::limit::Limit;
pub use self::parse::ParseQuotaError;
pub use self::quota::{Quota, Rate};
pub use self::rules::{Limits, Rule};
pub use self::usage::Usage;

pub(crate) use self::enforced::{Enforced, Measure, is_printable};
pub(crate) use self::key::{KeyFn, KeySource};
pub(crate) use self::pace::{LATEST, Pace, Paced};
pub(crate) use self::sharing::Sharing;
pub(crate) use self::single::Single;
pub(crate) use self::store::{SINGLE, Store};
pub(crate) use self::table::Table;
