//! Processes of `interop`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const INTEROP: &str = env!("CARGO_BIN_EXE_interop");

/// A server on a free port, killed when it is dropped.
pub(crate) struct Served {
    process: Child,
    port: String,
}

impl Served {
    pub(crate) fn start<S: AsRef<str>>(flags: &[S]) -> Self {
        let mut command = Command::new(INTEROP);
        command.args(["serve", "--port=0"]).args(flags.iter().map(AsRef::as_ref));
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on 127.0.0.1:").unwrap().to_owned();
        Self { process, port }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// How each case ended. The exit status says whether one has failed.
pub(crate) fn client<S: AsRef<str>>(server: &Served, flags: &[S]) -> BTreeMap<String, String> {
    let mut command = Command::new(INTEROP);
    command
        .args(["client", "--server_host=127.0.0.1"])
        .arg(format!("--server_port={}", server.port));
    let output = command.args(flags.iter().map(AsRef::as_ref)).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let ended: BTreeMap<String, String> = lines
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(case, ended)| (case.to_owned(), ended.to_owned()))
        .collect();
    let failed = ended.values().any(|ended| ended.starts_with("failed"));
    assert_eq!(output.status.success(), !failed && !ended.is_empty(), "{lines}");
    ended
}
