//! One call, and its attempts.

mod call;
mod head;
mod outcome;
mod plan;
mod report;
mod timer;

pub(crate) use self::call::Call;
