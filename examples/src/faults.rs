//! Fault injection: the request metadata `x-fault` asks for faults, and a server with `--faults` injects them.
//!
//! | `x-fault` | effect |
//! |---|---|
//! | `panic` | panics before the response |
//! | `panic-after=3` | panics after three messages of a response stream; before the response of other methods |
//! | `delay=200ms` | waits before anything else |
//! | `status=UNAVAILABLE` | ends the call with that code |
//! | `status=UNAVAILABLE*2` | the same for the first two attempts of a call; further attempts succeed |
//!
//! Several faults are injected in their order.

use std::time::Duration;

use futures_util::StreamExt;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_call::code_from_name;

use crate::duration;
use crate::status::quoted;
use crate::validate::Violations;

const KEY: &str = "x-fault";

/// Sent by clients that retry (gRFC A6).
const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// Whether calls may ask for faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// `x-fault` is ignored.
    #[default]
    Disabled,
    /// Faults are injected.
    Enabled,
}

#[derive(Debug, PartialEq)]
enum Fault {
    Panic,
    PanicAfter(u64),
    Delay(Duration),
    /// For the attempts before the one with this number, from 0.
    Status(Code, u64),
}

/// The fault to inject into the response stream.
#[derive(Debug, Default)]
pub(crate) struct StreamFault {
    panic_after: Option<u64>,
}

impl Faults {
    /// For methods with one response.
    pub(crate) async fn before_message(self, metadata: &MetadataMap) -> Result<(), Status> {
        let rest = self.before_stream(metadata).await?;
        assert!(rest.panic_after.is_none(), "asked to panic by {KEY}");
        Ok(())
    }

    /// For methods with a response stream.
    pub(crate) async fn before_stream(self, metadata: &MetadataMap) -> Result<StreamFault, Status> {
        let mut rest = StreamFault::default();
        if self == Self::Disabled {
            return Ok(rest);
        }
        for fault in requested(metadata)? {
            match fault {
                Fault::Panic => panic!("asked to panic by {KEY}"),
                Fault::PanicAfter(messages) => rest.panic_after = Some(messages),
                Fault::Delay(time) => tokio::time::sleep(time).await,
                Fault::Status(code, attempts) if previous_attempts(metadata) < attempts => {
                    return Err(Status::new(code, format!("requested by {KEY}")));
                }
                Fault::Status(..) => {}
            }
        }
        Ok(rest)
    }
}

impl StreamFault {
    pub(crate) fn into<T: Send + 'static>(
        self,
        stream: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> impl Stream<Item = Result<T, Status>> + Send + 'static {
        let mut sent = 0;
        let fault = futures_util::stream::poll_fn(move |_| {
            assert!(self.panic_after != Some(sent), "asked to panic by {KEY}");
            sent += 1;
            std::task::Poll::Ready(Some(()))
        });
        // `zip` polls the fault first, before each message is made.
        fault.zip(stream).map(|((), message)| message)
    }
}

fn requested(metadata: &MetadataMap) -> Result<Vec<Fault>, Status> {
    let mut violations = Violations::default();
    let mut faults = Vec::new();
    for value in metadata.get_all(KEY) {
        let text = value.to_str().unwrap_or_default();
        match parse(text) {
            Some(fault) => faults.push(fault),
            None => violations.add(
                KEY,
                format!(
                    "must be panic, panic-after=N, delay=200ms or status=UNAVAILABLE, not {}",
                    quoted(text)
                ),
            ),
        }
    }
    Ok(violations.or(faults)?)
}

/// The attempts of the call that its client has made before this one.
fn previous_attempts(metadata: &MetadataMap) -> u64 {
    let attempts = metadata.get(PREVIOUS_ATTEMPTS).and_then(|value| value.to_str().ok());
    attempts.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn parse(text: &str) -> Option<Fault> {
    match text.split_once('=') {
        None if text == "panic" => Some(Fault::Panic),
        Some(("panic-after", messages)) => messages.parse().ok().map(Fault::PanicAfter),
        Some(("delay", time)) => duration::parse(time).ok().map(Fault::Delay),
        Some(("status", status)) => {
            let (name, attempts) = match status.split_once('*') {
                Some((name, attempts)) => (name, attempts.parse().ok()?),
                None => (status, u64::MAX),
            };
            // `OK` is not a fault, and tonic would send it without a response message.
            let code = code_from_name(name).filter(|code| *code != Code::Ok)?;
            Some(Fault::Status(code, attempts))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_read() {
        assert_eq!(parse("panic"), Some(Fault::Panic));
        assert_eq!(parse("panic-after=3"), Some(Fault::PanicAfter(3)));
        assert_eq!(parse("delay=200ms"), Some(Fault::Delay(Duration::from_millis(200))));
        assert_eq!(parse("status=DATA_LOSS"), Some(Fault::Status(Code::DataLoss, u64::MAX)));
        assert_eq!(parse("status=ABORTED*2"), Some(Fault::Status(Code::Aborted, 2)));
    }

    #[test]
    fn what_is_no_fault_is_refused() {
        for text in [
            "",
            "panic=1",
            "panic-after",
            "panic-after=-1",
            "delay=soon",
            "status=OKAY",
            "status=ABORTED*",
            "status=ABORTED*-1",
            "status=OK",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
