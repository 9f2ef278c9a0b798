//! A request that can be sent several times.

mod body;
mod budget;
mod buffer;
mod state;

pub(crate) use self::budget::Budget;
pub(crate) use self::buffer::{Buffer, Replay};
