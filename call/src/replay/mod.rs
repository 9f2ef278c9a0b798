//! Requests that can be sent several times: by a layer that tries a call again, or a channel that sends it elsewhere.

mod body;
mod budget;
mod buffer;
mod frames;
mod request;
mod state;

#[cfg(test)]
mod tests;

pub use self::body::ReplayBody;
pub use self::budget::ReplayBudget;
pub use self::request::{AnsweredRequest, Replay};
