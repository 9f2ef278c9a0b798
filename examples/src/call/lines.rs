//! Reads requests from a file: JSON, one per line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use prost::{Message, Name};
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::Stream;

use super::error::CallError;
use crate::json;

/// Number of requests that are read before the server receives them.
const MAX_QUEUED: usize = 16;

/// The messages in `file`, where `-` is standard input; empty lines are ignored.
///
/// If a line is not such a message, `invalid` gets the error, and the stream does not end: if it did, it would look
/// complete to the server.
pub(super) fn read<T: Message + Name + Default + 'static>(
    file: &Path,
    invalid: oneshot::Sender<CallError>,
) -> Result<impl Stream<Item = T> + Send + 'static, CallError> {
    let (name, input): (_, Box<dyn BufRead + Send>) = if file == Path::new("-") {
        let input = BufReader::new(std::io::stdin());
        ("standard input".to_owned(), Box::new(input))
    } else {
        let name = file.display().to_string();
        let opened = File::open(file)
            .map_err(|error| CallError::Input(format!("cannot read {name}: {error}")))?;
        (name, Box::new(BufReader::new(opened)))
    };
    let (send, lines) = mpsc::channel(MAX_QUEUED);
    // A thread, not a task: a read from a terminal or a pipe can block until the process exits.
    std::thread::spawn(move || {
        for message in messages(input, &name) {
            if send.blocking_send(message).is_err() {
                return;
            }
        }
    });
    Ok(futures_util::stream::unfold((lines, invalid), |(mut lines, invalid)| async move {
        match lines.recv().await? {
            Ok(message) => Some((message, (lines, invalid))),
            Err(error) => {
                _ = invalid.send(error);
                std::future::pending().await
            }
        }
    }))
}

fn messages<T: Message + Name + Default>(
    input: impl BufRead,
    name: &str,
) -> impl Iterator<Item = Result<T, CallError>> {
    let numbered = (1_u64..).zip(input.lines());
    numbered.filter_map(move |(number, line)| {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => {
                let text = format!("cannot read {name} at line {number}: {error}");
                return Some(Err(CallError::Input(text)));
            }
        };
        Some(json::read(&line).map_err(|error| {
            let message = T::NAME;
            CallError::Input(format!("{name}, line {number}: not a {message}: {error}"))
        }))
    })
}
