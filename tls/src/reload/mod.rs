//! Keeps a TLS configuration up to date with its files.

mod check;
mod event;
mod reloader;
mod settings;
mod status;

pub(crate) use self::event::OnReload;
pub use self::event::{ReloadEvent, ReloadResult};
pub(crate) use self::reloader::{Recipe, Reloader};
pub(crate) use self::settings::Settings;
pub use self::status::TlsStatus;
