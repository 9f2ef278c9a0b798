//! From JSON to protobuf: the text is read once, front to back, and each value is written as it is read.

mod any;
mod message;
mod reader;
mod scalar;
mod special;

pub(super) use reader::Reader;
