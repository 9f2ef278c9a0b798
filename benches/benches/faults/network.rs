//! Addresses behind which nobody answers.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A listener on loopback, and the tasks of its connections. Both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    silent: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Listening {
    /// Accepts connections, and says nothing.
    pub(crate) async fn silent() -> Self {
        let listening = Self::proxy(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        listening.fall_silent();
        listening
    }

    /// Passes everything on to this server until it falls silent.
    pub(crate) async fn proxy(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (silent, is_silent) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass_on(client, server, is_silent.clone()));
            }
        });
        Self { address, silent, _tasks: tasks }
    }

    /// From now on, passes nothing on in either direction, and keeps all connections open.
    pub(crate) fn fall_silent(&self) {
        self.silent.send_replace(true);
    }
}

async fn pass_on(mut client: TcpStream, server: SocketAddr, mut silent: watch::Receiver<bool>) {
    if !*silent.borrow_and_update() {
        let mut server = TcpStream::connect(server).await.expect("it listens");
        for stream in [&client, &server] {
            stream.set_nodelay(true).expect("TCP has it");
        }
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            // Both sockets stay open.
            _ = silent.changed() => std::future::pending().await,
        }
    }
    std::future::pending::<()>().await;
}

/// An address to which nobody can connect: the first packet of a connection is never answered.
#[derive(Debug)]
pub(crate) struct Unreachable {
    pub(crate) address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Unreachable {
    /// The kernel drops attempts to connect while a listener's queue is full.
    pub(crate) async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut waiting = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            waiting.push(stream.expect("it is queued"));
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}
