//! Deadlines of the calls that a server answers.

mod layer;
mod limits;
mod service;

pub use self::layer::DeadlineLayer;
pub use self::service::DeadlineService;
