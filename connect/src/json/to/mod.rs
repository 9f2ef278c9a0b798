//! From protobuf to JSON. JSON has each field once, and protobuf can have parts of it anywhere. Where the fields come in
//! order, they are written as they are read. Otherwise, the fields of each message are collected first, as places in the
//! input, and then written.

mod any;
mod broken;
mod in_order;
mod list;
mod message;
mod scalar;
mod special;
mod writer;

pub(super) use writer::{JsonWriter, Span};
