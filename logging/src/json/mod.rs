//! Writes the events of a program as lines of JSON.

#![allow(dead_code)]

pub(crate) mod object;
pub(crate) mod text;
pub(crate) mod time;
