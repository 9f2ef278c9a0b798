//! `orders certs`: a development CA, and certificates of it for a server and a client.

mod error;
mod files;
mod issue;

use std::io::{self, Write};
use std::path::Path;

pub use error::CertsError;

use crate::shell;
use files::Files;
pub(crate) use files::{CA, CLIENT, CLIENT_KEY, SERVER, SERVER_KEY};
pub(crate) use issue::TRUST_DOMAIN;

/// Makes the files.
///
/// # Errors
///
/// If one of the files exists, or the files cannot be made. Then there are no new ones.
pub(crate) fn make(folder: &Path) -> Result<(), CertsError> {
    let files = Files::in_folder(folder);
    files.check_absent()?;
    files.write(&issue::issue()?)
}

/// Makes the files, and prints the commands that use them.
///
/// # Errors
///
/// Those of making them; or standard output cannot be written, and then the files exist.
pub fn run(folder: &Path) -> Result<(), CertsError> {
    make(folder)?;
    let mut out = io::stdout().lock();
    out.write_all(commands(folder).as_bytes())
        .and_then(|()| out.flush())
        .map_err(CertsError::Output)
}

/// The commands, ready to be pasted into a shell in the same folder.
fn commands(folder: &Path) -> String {
    let program = shell::program();
    let file = |name: &str| shell::quoted(&folder.join(name).to_string_lossy());
    let ca = file(CA);
    let (server, server_key) = (file(SERVER), file(SERVER_KEY));
    let (client, client_key) = (file(CLIENT), file(CLIENT_KEY));
    format!(
        "to serve: {program} serve --tls-cert {server} --tls-key {server_key} --client-ca {ca} \
         --allow-spiffe {TRUST_DOMAIN}/client\n\
         to call: {program} call --to https://localhost:50051 --tls-ca {ca} --tls-cert {client} \
         --tls-key {client_key} list-orders\n"
    )
}
