//! From protobuf to JSON. JSON has each field once, and protobuf can have parts of it anywhere: the fields of a message
//! are collected first, as places in the input, and then written.

mod any;
mod broken;
mod list;
mod message;
mod scalar;
mod special;
mod writer;

pub(super) use writer::{JsonWriter, Span};
