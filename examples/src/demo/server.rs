//! `orders serve` as a process of its own.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::error::DemoError;
use super::log::Log;

/// Much longer than a server takes to start or to stop.
const LIMIT: Duration = Duration::from_secs(30);

/// What all servers have. Standard input is a pipe: a server stops when the demo ends, in whatever way.
const FLAGS: [&str; 6] = ["serve", "--stop-at-eof", "--listen", "127.0.0.1:0", "--log", "json"];

/// A server that is ready. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(super) address: String,
    /// The address of its metrics, if it serves any.
    pub(super) metrics: Option<String>,
}

impl Server {
    /// Starts a server with these flags, and waits until it listens. `log` receives its log, as that of `name`.
    pub(super) async fn start(name: &str, flags: &[&str], log: &Log) -> Result<Self, DemoError> {
        let failed = |error: &str| DemoError::server(name, error, &log.messages(name));
        let program = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
        let mut command = Command::new(program);
        // The environment must not change what is logged and traced.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("OTEL_") {
                command.env_remove(variable);
            }
        }
        command.args(FLAGS).args(flags).env_remove("RUST_LOG").env("RUST_BACKTRACE", "0");
        // Milliseconds, instead of seconds.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "50").env("OTEL_BLRP_SCHEDULE_DELAY", "50");
        // Ctrl-C is for the demo, which stops its servers.
        #[cfg(unix)]
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.kill_on_drop(true).spawn().map_err(|error| failed(&error.to_string()))?;
        let stdin = child.stdin.take();
        let lines = child
            .stderr
            .take()
            .map(|stderr| tokio::spawn(read(stderr, name.to_owned(), log.clone())));
        let wants_metrics = !flags.windows(2).any(|pair| pair == ["--metrics", "off"]);
        let ready = timeout(LIMIT, until_ready(child.stdout.take(), wants_metrics)).await;
        match ready {
            Ok(Some((address, metrics))) => Ok(Self { child, stdin, address, metrics }),
            Ok(None) => {
                // It has ended: the last of these lines is the reason.
                if let Some(lines) = lines {
                    _ = timeout(LIMIT, lines).await;
                }
                Err(failed("it has ended"))
            }
            Err(_) => Err(failed(&format!("it is not ready after {LIMIT:?}"))),
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Kills the process: its connections break.
    pub(super) fn kill(&mut self) -> Result<(), String> {
        self.child.start_kill().map_err(|error| format!("the server cannot be killed: {error}"))
    }

    /// Shuts the server down, and waits until the process has ended.
    pub(super) async fn stop(mut self) {
        drop(self.stdin.take());
        // If it does not end in time, it is killed.
        _ = timeout(LIMIT, self.child.wait()).await;
    }
}

/// Its address, and that of its metrics; `None` if it ends instead.
async fn until_ready(
    stdout: Option<ChildStdout>,
    wants_metrics: bool,
) -> Option<(String, Option<String>)> {
    let mut lines = BufReader::new(stdout?).lines();
    let address = lines.next_line().await.ok()??.strip_prefix("listening on ")?.to_owned();
    if !wants_metrics {
        return Some((address, None));
    }
    let line = lines.next_line().await.ok()??;
    let metrics = line.strip_prefix("metrics on http://")?.strip_suffix("/metrics")?;
    Some((address, Some(metrics.to_owned())))
}

async fn read(stderr: ChildStderr, name: String, log: Log) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.add(&name, &line);
    }
}
