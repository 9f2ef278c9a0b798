//! Enforces deadlines up to the last message.

mod client;
mod enforce;
mod refusal;
mod server;

pub use self::client::{Attempt, ClientDeadlineLayer, ClientDeadlines, DeadlineChannel};
pub use self::enforce::{ResponseBody, ResponseFuture};
pub use self::server::{DeadlineLayer, DeadlineService};
pub use tonic_call::{
    BoxChannel, Deadline, DeadlineScope, Matches, MethodTable, Methods, OptionLayer, option_layer,
};
