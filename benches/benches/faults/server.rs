//! Servers that can be killed: each is a process of its own.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::body::Body;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::listen;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tower::util::{MapFutureLayer, MapRequestLayer};

/// How long a call takes. Without that, no call would be running when a server is killed.
const HANDLER: Duration = Duration::from_millis(20);

/// The argument that makes this program a server.
pub(crate) const SERVE: &str = "--serve";

/// A server process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
    /// The server drains when this is closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        command.arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("it starts");
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it prints its address");
        Self { address: line.trim().parse().expect("an address"), process, input, output }
    }

    /// Closes its sockets as the end of a process does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it can be killed");
    }

    /// Shuts down gracefully: the server sends GOAWAY, and ends after its running calls.
    pub(crate) fn drain(&mut self) {
        drop(self.input.take());
    }

    /// How many calls a drained server has got since. Waits for its end.
    pub(crate) fn late_calls(&mut self) -> usize {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it prints a number");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until the standard input is closed. Prints the address, and at the end how many calls came after the drain
/// had begun.
pub(crate) async fn serve() {
    let (incoming, _) = listen();
    let address = incoming.local_addr().expect("a bound listener has an address");
    let (draining, late_calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (stop, stopped) = oneshot::channel();
    let is_draining = Arc::clone(&draining);
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        is_draining.store(true, Ordering::SeqCst);
        // The server may have failed.
        let _ = stop.send(());
    });
    print(&address.to_string());
    let count = Arc::clone(&late_calls);
    let counted = move |request: Request<Body>| {
        count.fetch_add(usize::from(draining.load(Ordering::SeqCst)), Ordering::SeqCst);
        request
    };
    tonic::transport::Server::builder()
        .layer(MapRequestLayer::new(counted))
        .layer(MapFutureLayer::new(delayed))
        .add_service(KindsServer::new(KindsService::default()))
        .serve_with_incoming_shutdown(incoming.with_nodelay(Some(true)), async {
            // The thread ends with the process.
            let _ = stopped.await;
        })
        .await
        .expect("it serves");
    print(&late_calls.load(Ordering::SeqCst).to_string());
}

async fn delayed<F: Future>(answer: F) -> F::Output {
    sleep(HANDLER).await;
    answer.await
}

fn print(line: &str) {
    let mut out = io::stdout();
    // The program that reads this may have ended.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
