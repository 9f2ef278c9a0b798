//! Connections whose certificates and trusted CAs change.

#![allow(clippy::unwrap_used)]

mod support;

mod age;
mod balance;
mod client;
mod client_certificates;
mod events;
mod handshakes;
mod paths;
mod protocols;
mod refused_clients;
mod reloading;
mod rotation;
mod withdrawn;
