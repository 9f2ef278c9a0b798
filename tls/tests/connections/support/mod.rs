//! Certificates, files as Kubernetes writes them, and connections in memory.

// Each test uses some of it.
#![allow(dead_code, unused_imports)]

mod clock;
mod connect;
mod issue;
mod secret;

pub(crate) use self::clock::{Clock, new_year};
pub(crate) use self::connect::{Connection, client_config, connect, provider, server, versions};
pub(crate) use self::issue::{Ca, Identity, dns};
pub(crate) use self::secret::Secret;
