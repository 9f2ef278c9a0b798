//! Deadlines of the calls that a client makes.

mod attempt;
mod deadlines;
mod layer;
mod limits;
mod outbound;
mod service;

pub use self::attempt::Attempt;
pub use self::deadlines::ClientDeadlines;
pub use self::layer::ClientDeadlineLayer;
pub use self::service::DeadlineChannel;
