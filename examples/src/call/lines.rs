//! Requests from a file: JSON, one a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use prost::{Message, Name};
use tokio::sync::{mpsc, oneshot};
use tonic::codegen::tokio_stream::Stream;

use super::Failure;
use crate::json;

/// Lines that may be read before the server has taken the first of them.
const AHEAD: usize = 16;

/// The messages in `file`, `-` being standard input; empty lines are left out.
///
/// If a line is no such message, `bad` is told, and the stream never ends: ended, it would look whole.
pub(super) fn read<T: Message + Name + Default + 'static>(
    file: &Path,
    bad: oneshot::Sender<Failure>,
) -> Result<impl Stream<Item = T> + Send + 'static, Failure> {
    let (name, input): (_, Box<dyn BufRead + Send>) = if file == Path::new("-") {
        let input = BufReader::new(std::io::stdin());
        ("standard input".to_owned(), Box::new(input))
    } else {
        let name = file.display().to_string();
        let opened = File::open(file)
            .map_err(|error| Failure::Input(format!("cannot read {name}: {error}")))?;
        (name, Box::new(BufReader::new(opened)))
    };
    let (send, lines) = mpsc::channel(AHEAD);
    // A thread, not a task: a read of a terminal or a pipe can wait for ever, and nothing can end it but
    // the end of the process.
    std::thread::spawn(move || {
        for message in messages(input, &name) {
            if send.blocking_send(message).is_err() {
                return;
            }
        }
    });
    Ok(futures_util::stream::unfold((lines, bad), |(mut lines, bad)| async move {
        match lines.recv().await? {
            Ok(message) => Some((message, (lines, bad))),
            Err(failure) => {
                _ = bad.send(failure);
                std::future::pending().await
            }
        }
    }))
}

fn messages<T: Message + Name + Default>(
    input: impl BufRead,
    name: &str,
) -> impl Iterator<Item = Result<T, Failure>> {
    let numbered = (1_u64..).zip(input.lines());
    numbered.filter_map(move |(number, line)| {
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => {
                let text = format!("cannot read {name} from line {number} on: {error}");
                return Some(Err(Failure::Input(text)));
            }
        };
        Some(json::read(&line).map_err(|error| {
            let kind = T::NAME;
            Failure::Input(format!("{name}, line {number}: not a {kind}: {error}"))
        }))
    })
}
