//! What is retried, how often and when, and what others see of it.

#![allow(clippy::unwrap_used)]

mod common;

mod failures;
mod fits;
mod frames;
mod limits;
mod observers;
mod replay;
mod throttling;
mod waiting;
mod with_deadlines;
