//! Lines through the queue of `tracing-appender`.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tonic::Status;
use tonic_call_test_kit::{answers, run, stream, to};
use tonic_logging_layer::{Lines, LoggingLayer};
use tower::Layer as _;
use tracing_appender::non_blocking::NonBlockingBuilder;

use crate::lines_common::{Shared, without_timestamp};

async fn calls(layer: &LoggingLayer, count: usize) {
    for _ in 0..count {
        let answer = || Ok(stream(1, &Status::ok("")));
        run(layer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
    }
}

#[tokio::test]
async fn the_guard_writes_what_is_queued() {
    let written = Shared::default();
    let (writer, guard) = tracing_appender::non_blocking(written.clone());
    calls(&LoggingLayer::server().lines(writer), 100).await;
    drop(guard);
    let lines = written.take();
    assert_eq!(lines.len(), 100);
    lines.iter().for_each(|line| _ = without_timestamp(line));
}

/// A writer that says when it begins its first write, and waits until that may end.
struct Stalls {
    begun: SyncSender<()>,
    may_end: Receiver<()>,
    then: Shared,
}

impl io::Write for Stalls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.begun.try_send(());
        let _ = self.may_end.recv();
        self.then.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_writer_that_stalls_loses_lines_but_holds_no_call() {
    let (begun, has_begun) = sync_channel(1);
    let (end, may_end) = sync_channel(0);
    let written = Shared::default();
    let stalls = Stalls { begun, may_end, then: written.clone() };
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(10).finish(stalls);
    let dropped = writer.error_counter();
    let lines = Lines::new(writer);
    let layer = LoggingLayer::server().lines(lines.clone());
    calls(&layer, 1).await;
    has_begun.recv().unwrap();
    calls(&layer, 30).await;
    assert_eq!(dropped.dropped_lines(), 20, "one is being written, and ten are queued");
    assert_eq!(lines.dropped(), 0, "the queue has a count of its own");
    drop(end);
    drop(guard);
    assert_eq!(written.take().len(), 11);
}
