use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use super::Error;
use super::protocol::Question;

/// A process that measures one row. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    name: &'static str,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self, Error> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).ok_or("a child has pipes")?;
        Ok(Self { name, child, input, output: BufReader::new(output) })
    }

    /// The process of a row of this program.
    pub(super) fn of_row(name: &'static str) -> Result<Self, Error> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(name, command.args(["worker", name]))
    }

    /// Asks a question and waits for the answer.
    pub(super) fn ask<A: DeserializeOwned>(&mut self, question: Question) -> Result<A, Error> {
        self.send(question)?;
        self.receive()
    }

    pub(super) fn send(&mut self, question: Question) -> Result<(), Error> {
        let line = serde_json::to_string(&question)? + "\n";
        self.input.write_all(line.as_bytes()).map_err(|error| self.failed(&error.to_string()))
    }

    pub(super) fn receive<A: DeserializeOwned>(&mut self) -> Result<A, Error> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            return Err(self.failed("it ended"));
        }
        serde_json::from_str(&line).map_err(|error| self.failed(&format!("{error}: {line}")))
    }

    fn failed(&self, why: &str) -> Error {
        format!("the process that measures `{}` failed: {why}", self.name).into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
