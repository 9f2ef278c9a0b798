//! The flags of `orders certs`.

use std::path::PathBuf;

use clap::Args;

/// The flags of `orders certs`.
#[derive(Args, Debug)]
pub struct CertsArgs {
    /// Folder for the files, created if it does not exist; existing files are never overwritten
    ///
    /// The certificates are for localhost, 127.0.0.1 and ::1, and for development only. They expire after a year.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}
