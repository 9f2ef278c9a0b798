//! Calls of the Connect protocol, and requests that are none.

#![allow(clippy::unwrap_used)]

#[macro_use]
mod common;

mod answers;
mod any_request;
mod attacks;
mod compression;
mod fits;
mod floods;
mod foreign_headers;
mod frames;
mod get;
mod layers;
mod refusals;
mod seeds;
mod streams;
mod unary;
