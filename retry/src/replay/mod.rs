//! A request that can be sent several times.

mod body;
mod budget;
mod buffer;
mod handle;
mod state;

pub(crate) use self::budget::Budget;
pub(crate) use self::buffer::Buffer;
pub(crate) use self::handle::Replay;
