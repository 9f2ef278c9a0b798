//! Shared test code: a server and a client with an observer on either side of their layers, and the cells of the
//! table of endings.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

mod cells;
mod raw;
mod stack;

pub(crate) use self::cells::{Cell, Expires, SERVERS_MESSAGE};
pub(crate) use self::raw::{Answer, Messages, Place, Raw, RawCall, read, read_rest};
pub(crate) use self::stack::{Client, Served, hold, serve, serve_with};
