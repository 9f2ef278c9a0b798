//! Sockets whose dead peers are found.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tonic::transport::Endpoint;
use tower_service::Service;

use super::stream::Socket;
use crate::Address;

/// The default connector: TCP, and Unix sockets where there are any.
///
/// The kernel detects a peer that is gone without closing: by TCP keepalive on an idle connection, and on Linux by
/// `TCP_USER_TIMEOUT` (20 s) on a connection with unacknowledged data. HTTP/2 pings are not needed for that.
///
/// Put it below a connector of your own, for example one that does TLS.
#[derive(Clone, Debug)]
pub struct SocketConnector {
    nodelay: bool,
    keepalive: TcpKeepalive,
}

/// The kernel closes a connection whose data is not acknowledged for this time.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(20);
const KEEPALIVE_TIME: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

impl SocketConnector {
    /// With the TCP settings of the endpoint. Without settings, keepalive probes an idle connection after 20 s, and
    /// then every 5 s.
    pub fn new(endpoint: &Endpoint) -> Self {
        let time = endpoint.get_tcp_keepalive().unwrap_or(KEEPALIVE_TIME);
        let interval = endpoint.get_tcp_keepalive_interval().unwrap_or(KEEPALIVE_INTERVAL);
        let keepalive = TcpKeepalive::new().with_time(time);
        #[cfg(any(unix, windows))]
        let keepalive = keepalive.with_interval(interval);
        #[cfg(unix)]
        let keepalive = match endpoint.get_tcp_keepalive_retries() {
            Some(retries) => keepalive.with_retries(retries),
            None => keepalive,
        };
        Self { nodelay: endpoint.get_tcp_nodelay(), keepalive }
    }

    async fn connect(self, address: Address) -> io::Result<Socket> {
        Ok(match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(self.nodelay)?;
                self.find_dead_peers(&stream)?;
                Socket::tcp(stream)
            }
            #[cfg(unix)]
            Address::Unix(path) => Socket::unix(tokio::net::UnixStream::connect(&*path).await?),
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn find_dead_peers(&self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_tcp_keepalive(&self.keepalive)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(())
    }
}

impl Service<Address> for SocketConnector {
    type Response = Socket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Address) -> Self::Future {
        Box::pin(self.clone().connect(address))
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_kernel_looks_for_dead_peers() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let endpoint = Endpoint::from_static("http://orders.svc")
            .tcp_keepalive(Some(Duration::from_secs(7)))
            .tcp_keepalive_retries(Some(2));

        let stream = TcpStream::connect(address).await.expect("the listener accepts");
        SocketConnector::new(&endpoint).find_dead_peers(&stream).expect("Linux has the options");

        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("readable"));
        assert_eq!(socket.tcp_keepalive_time().expect("readable"), Duration::from_secs(7));
        assert_eq!(socket.tcp_keepalive_interval().expect("readable"), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().expect("readable"), 2);
        assert_eq!(socket.tcp_user_timeout().expect("readable"), Some(USER_TIMEOUT));
    }
}
