use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;

#[cfg(unix)]
type Address = std::sync::Arc<tokio::net::unix::SocketAddr>;

/// On platforms without Unix sockets no value exists.
#[cfg(not(unix))]
type Address = std::convert::Infallible;

/// The peer of a connection over a Unix socket.
///
/// Most peers have no name, because clients rarely bind their socket to a path before they connect.
#[derive(Clone)]
pub struct UnixPeer(Option<Address>);

#[cfg(unix)]
impl UnixPeer {
    pub(crate) fn of(info: &tonic::transport::server::UdsConnectInfo) -> Self {
        Self(info.peer_addr.clone())
    }

    /// The path of the peer's socket, if it has one.
    pub fn path(&self) -> Option<&Path> {
        self.0.as_ref()?.as_pathname()
    }

    /// The name of the peer's socket, if it has one: the path, or on Linux an abstract name with `@` before it.
    /// May contain any bytes.
    pub fn name(&self) -> Option<Cow<'_, [u8]>> {
        use std::os::unix::ffi::OsStrExt as _;

        if let Some(path) = self.path() {
            return Some(path.as_os_str().as_bytes().into());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = self.0.as_ref().and_then(|address| address.as_abstract_name()) {
            return Some([b"@", name].concat().into());
        }
        None
    }
}

#[cfg(not(unix))]
impl UnixPeer {
    /// The path of the peer's socket, if it has one.
    pub fn path(&self) -> Option<&Path> {
        None
    }

    /// The name of the peer's socket, if it has one.
    pub fn name(&self) -> Option<Cow<'_, [u8]>> {
        None
    }
}

impl PartialEq for UnixPeer {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for UnixPeer {}

impl Hash for UnixPeer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for UnixPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        let name = name.as_deref().map(crate::show::sanitize);
        f.debug_tuple("UnixPeer").field(&name.unwrap_or_default()).finish()
    }
}
