//! Decides each call, and reports the decision.

mod call;
mod caller;
mod decision;
mod fields;
mod hints;
mod refusal;
#[cfg(feature = "redis")]
mod remembered;
#[cfg(feature = "redis")]
mod shared;
mod take;

pub use self::decision::{Decision, Reason, Source};

pub(crate) use self::call::Passed;
pub(crate) use self::caller::Seeds;
pub(crate) use self::decision::Hook;
pub(crate) use self::fields::Fields;
pub(crate) use self::hints::Hints;
#[cfg(feature = "redis")]
pub(crate) use self::shared::Shared;
