//! `orders serve`: starting the server.

mod command;
mod cors;
mod error;
mod health;
mod server;

pub use command::run;
pub use cors::Origin;
pub use error::ServeError;
pub use health::Health;
pub use server::{ServerConfig, serve};
