//! `orders serve`: starting the server.

mod command;
mod error;
mod health;
mod server;

pub use command::run;
pub use error::ServeError;
pub use health::Health;
pub use server::{ServerConfig, serve};
