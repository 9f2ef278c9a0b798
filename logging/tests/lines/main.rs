//! Lines of the layer's own: which there are, what they say, and where they are written.

#![cfg(feature = "json")]
#![allow(clippy::unwrap_used)]

#[path = "../lines_common/mod.rs"]
mod lines_common;

mod beside_handler_events;
mod choices;
mod equal_events;
mod failing_writers;
#[cfg(unix)]
mod in_a_file;
mod in_a_queue;
#[cfg(unix)]
mod in_a_rotated_file;
mod of_hostile_calls;
mod with_every_value;
