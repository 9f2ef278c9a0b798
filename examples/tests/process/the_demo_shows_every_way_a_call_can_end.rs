//! `orders demo`.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::common::process::{Ran, Served, orders, run};
use crate::common::soon;

/// A demo makes a hundred calls, and other tests run at the same time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Every row of the table.
const ROWS: [&str; 23] = [
    "unary",
    "client stream",
    "server stream",
    "bidirectional stream",
    "no token",
    "token of another key",
    "token without the scope",
    "over quota",
    "past the deadline",
    "malformed request",
    "too large a request",
    "before the stream",
    "during the stream",
    "the next call",
    "failure, not retried",
    "failure, retried",
    "a caller goes away",
    "one of 3 servers dies",
    "Connect: JSON",
    "Connect: no token",
    "Connect: malformed JSON",
    "mTLS",
    "mTLS, wrong certificate",
];

/// The demo, with a folder for its files.
fn demo(folder: &Path, flags: &[&str]) -> Command {
    let mut command = orders(&[&["demo"], flags].concat());
    command.env("TMPDIR", folder).env_remove("COLUMNS");
    command
}

async fn ran(folder: &Path, flags: &[&str]) -> Ran {
    let output = demo(folder, flags).output();
    timeout(PATIENCE, output).await.expect("it ends").expect("it starts").into()
}

fn is_empty(folder: &TempDir) -> bool {
    std::fs::read_dir(folder.path()).unwrap().next().is_none()
}

#[tokio::test]
async fn each_call_ends_as_expected_and_is_seen_in_log_trace_and_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = demo(folder.path(), &[]);
    // It shows a trace, whatever the environment samples.
    demo.env("OTEL_TRACES_SAMPLER", "always_off");
    let output = timeout(PATIENCE, demo.output()).await.expect("it ends");
    let ran = Ran::from(output.expect("it starts"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    for row in ROWS {
        let is_row = |line: &str| line.get(3..26).is_some_and(|name| name.trim_end() == row);
        let lines: Vec<_> = ran.out.lines().filter(|line| is_row(line)).collect();
        assert!(matches!(lines[..], [line] if line.starts_with("ok ")), "{row}: {}", ran.out);
    }
    let all = format!("All {} rows are as expected", ROWS.len());
    assert!(ran.out.contains(&all), "{}", ran.out);
    assert!(!ran.out.lines().any(|line| line.starts_with("!!")), "{}", ran.out);
    for part in [
        // A line of the server's log, spans below the client's, and counters.
        "server: finished call",
        "client: finished call",
        "`- orders GetOrder OK",
        "grpc_server_refused_total",
        "grpc_client_attempts_total",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let too_wide = ran.out.lines().find(|line| line.chars().count() > 80);
    assert_eq!(too_wide, None);
    assert!(!ran.out.contains('\u{1b}'), "colors in a pipe: {}", ran.out);
    assert!(is_empty(&folder), "files are left");
}

#[tokio::test]
async fn a_call_that_ends_otherwise_fails_the_demo_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ran = ran(folder.path(), &["--expect", "no token=OK", "--expect", "no such row=OK"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let differ: Vec<_> = ran.out.lines().filter(|line| line.starts_with("!!")).collect();
    let [row] = differ[..] else { panic!("{}", ran.out) };
    let words: Vec<_> = row.split_whitespace().collect();
    // The code that was expected, and the one that was seen.
    assert_eq!(words[..3], ["!!", "no", "token"]);
    assert!(words.contains(&"OK") && words.contains(&"UNAUTHENTICATED"), "{row}");
    assert!(ran.out.contains("Not as expected: no token, no such row"), "{}", ran.out);
}

/// A demo with `--keep` whose calls are done.
struct Kept {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Kept {
    async fn start(folder: &Path) -> Self {
        let mut child = demo(folder, &["--keep"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the server stays");
                if let Some(rest) = line.strip_prefix("The server stays at ") {
                    return rest.split_once(' ').unwrap().0.to_owned();
                }
            }
        });
        let address = address.await.expect("it gets there");
        Self { child, lines, address }
    }

    async fn next_line_that_has(&mut self, part: &str) -> String {
        loop {
            let line = soon(self.lines.next_line()).await.unwrap().expect(part);
            if line.contains(part) {
                return line;
            }
        }
    }
}

#[tokio::test]
async fn the_server_stays_until_ctrl_c_and_can_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(folder.path()).await;
    for command in ["# curl", "# grpcurl", "# orders call"] {
        kept.next_line_that_has(command).await;
    }
    let key = kept.next_line_that_has("--dev-key").await;
    let key = key.trim().strip_prefix("--dev-key ").unwrap();
    let key = key.trim_end_matches('\\').trim_end().trim_matches('\'');
    let url = format!("http://{}", kept.address);
    let listed = run(&["call", "--to", &url, "--dev-key", key, "list-orders"]).await;
    assert_eq!(listed.json().len(), 3);

    let pid = Pid::from_raw(kept.child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(soon(kept.child.wait()).await.unwrap().code(), Some(0));
    TcpStream::connect(&kept.address).await.expect_err("the server has ended");
    assert!(is_empty(&folder), "files are left");
}

/// Guards against: servers that nobody stops, after a demo that could not do it.
#[tokio::test]
async fn its_servers_end_even_if_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(folder.path()).await;
    let mut connection = TcpStream::connect(&kept.address).await.unwrap();
    kept.child.kill().await.unwrap();
    let mut rest = Vec::new();
    soon(connection.read_to_end(&mut rest)).await.expect("the server closes the connection");
}

#[tokio::test]
async fn a_server_can_be_stopped_by_closing_its_standard_input() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--auth", "off", "--metrics", "off"];
    let mut command = orders(&[&serve[..], &["--db", ":memory:", "--stop-at-eof"]].concat());
    command.stdin(Stdio::piped());
    let mut served = Served::spawn(command).await;
    served.close_stdin();
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained"), "{log}");
}
