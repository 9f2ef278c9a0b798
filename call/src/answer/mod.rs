//! Answers calls instead of the service, and ends running calls.

mod alarm;
mod caught;
mod cut;
mod deadline;
mod held;
mod rejection;
mod response;

pub use self::alarm::Alarm;
pub use self::caught::{Guarded, drop_caught, guarded, panic_message};
pub use self::cut::{Cut, CutBody, CutFuture};
pub use self::deadline::{
    Deadline, DeadlineScope, GRPC_TIMEOUT, MalformedTimeout, format_timeout, parse_timeout,
    timeout_of,
};
pub use self::held::{Held, HeldBody};
pub use self::rejection::Rejection;
pub use self::response::{AnswerBody, AnswerFuture};
