//! `orders` as a separate process.

use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::soon;

/// `orders` with `arguments`. The process is killed when the test ends.
pub fn orders(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orders"));
    // The environment of the test run must not make the tests export spans, or configure the server.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_") || text.starts_with("ORDERS_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// On a free port, without authentication and metrics; tests that need metrics pass their own flag.
pub const SERVE: [&str; 7] =
    ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--metrics", "off"];

pub struct Served {
    pub address: String,
    child: Child,
    out: BufReader<ChildStdout>,
    log: UnboundedReceiver<String>,
}

impl Served {
    /// `orders serve` on a free port with a database in memory.
    pub async fn start(arguments: &[&str]) -> Self {
        let without_metrics = &SERVE[..SERVE.len() - 2];
        let own_metrics = arguments.contains(&"--metrics");
        let serve = if own_metrics { without_metrics } else { &SERVE };
        let all = [serve, &["--db", ":memory:"], arguments].concat();
        Self::spawn(orders(&all)).await
    }

    pub async fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let all = [&SERVE[..], arguments].concat();
        let mut command = orders(&all);
        command.current_dir(folder);
        Self::spawn(command).await
    }

    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        soon(out.read_line(&mut line)).await.expect("readable");
        let address = line
            .strip_prefix("listening on ")
            .and_then(|rest| rest.strip_suffix('\n'))
            .unwrap_or_else(|| panic!("not the line: {line:?}"))
            .to_owned();
        let log = lines_of(child.stderr.take());
        Self { address, child, out, log }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn https(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// The address of its metrics. Must be called once, before `next_line`.
    pub async fn metrics_address(&mut self) -> String {
        let line = self.next_line().await;
        let rest = line.strip_prefix("metrics on http://").and_then(|rest| rest.split_once('/'));
        let (address, path) = rest.unwrap_or_else(|| panic!("not the line: {line:?}"));
        assert_eq!(path, "metrics\n");
        address.to_owned()
    }

    /// The next line of standard output.
    pub async fn next_line(&mut self) -> String {
        let mut line = String::new();
        soon(self.out.read_line(&mut line)).await.expect("readable");
        line
    }

    /// The next line of standard error; [`ended`](Self::ended) does not return it again.
    pub async fn next_log_line(&mut self) -> String {
        soon(self.log.recv()).await.expect("one more line")
    }

    /// Its exit status, and the rest of standard output and standard error.
    pub async fn ended(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        let (status, read, ()) = soon(async {
            tokio::join!(self.child.wait(), self.out.read_to_string(&mut out), async {
                while let Some(line) = self.log.recv().await {
                    err += &line;
                }
            })
        })
        .await;
        read.expect("text");
        (status.expect("ends"), out, err)
    }
}

fn send_signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = id.and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, signal).expect("signalled");
}

/// A URL where nothing listens. No other process gets the port while the socket exists.
pub fn unreachable() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    (format!("http://{}", socket.local_addr().expect("it is bound")), socket)
}

/// `orders call` that runs while the test goes on.
pub struct Calling {
    child: Child,
    answers: watch::Receiver<usize>,
    out: JoinHandle<String>,
    log: UnboundedReceiver<String>,
    err: String,
}

impl Calling {
    /// With these arguments after `call`.
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = orders(&[&["call"], arguments].concat()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let log = lines_of(child.stderr.take());
        let (count, answers) = watch::channel(0);
        let out = tokio::spawn(async move {
            let mut out = String::new();
            while lines.read_line(&mut out).await.expect("text") > 0 {
                count.send_modify(|count| *count += 1);
            }
            out
        });
        Self { child, answers, out, log, err: String::new() }
    }

    /// Waits until so many lines of answers are printed.
    pub async fn answered(&mut self, lines: usize) {
        soon(self.answers.wait_for(|count| *count >= lines)).await.expect("it goes on");
    }

    /// The number of lines of answers until now.
    pub fn answers(&self) -> usize {
        *self.answers.borrow()
    }

    /// Waits for a line of standard error that contains this.
    pub async fn logged(&mut self, part: &str) {
        loop {
            let line = soon(self.log.recv()).await.expect(part);
            self.err += &line;
            if line.contains(part) {
                return;
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(&self.child, signal);
    }

    /// All that it printed, and its exit status.
    pub async fn ended(mut self) -> Ran {
        let status = soon(async {
            while let Some(line) = self.log.recv().await {
                self.err += &line;
            }
            self.child.wait().await
        });
        let code = status.await.expect("ends").code();
        Ran { code, out: soon(self.out).await.expect("no panic"), err: self.err }
    }
}

/// The lines of standard error, read at once: a process whose output is not read blocks.
fn lines_of(log: Option<ChildStderr>) -> UnboundedReceiver<String> {
    let (send, lines) = unbounded_channel();
    let Some(log) = log else { return lines };
    let mut log = BufReader::new(log);
    tokio::spawn(async move {
        loop {
            let mut line = String::new();
            match log.read_line(&mut line).await {
                Ok(1..) if send.send(line).is_ok() => {}
                _ => return,
            }
        }
    });
    lines
}

/// The response to `GET path`: head and body.
pub async fn get(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

/// Runs `orders` with `arguments`, with `input` as standard input.
pub async fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut child = orders(arguments).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have exited without reading.
    _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    soon(child.wait_with_output()).await.expect("ends").into()
}

pub async fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "").await
}

#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ran {
    /// The lines of standard output as JSON; the exit status must be 0.
    pub fn json(&self) -> Vec<serde_json::Value> {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        let lines = self.out.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON, one a line")
    }
}
