//! A writer that fails, or that causes lines itself, harms neither calls nor other lines.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic_call_test_kit::{Script, answers, run, silence_panics, stream, to};
use tonic_logging_layer::{Lines, LoggingLayer};
use tower::{Layer as _, Service as _, service_fn};

use crate::lines_common::{EVENTS, LINES, Shared, listen, without_timestamp};

async fn call(layer: &LoggingLayer) {
    let answer = || Ok(stream(1, &Status::ok("")));
    let head = run(layer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
    assert!(head.is_some(), "the caller gets the answer");
}

thread_local! {
    /// What the next write of [`Unreliable`] does.
    static NEXT: Cell<Next> = const { Cell::new(Next::Write) };
}

#[derive(Clone, Copy)]
enum Next {
    Write,
    Fail,
    FailInTheMiddle,
    Panic,
    PanicInMakeWriter,
}

struct Unreliable;

impl Write for Unreliable {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match NEXT.get() {
            Next::Write => LINES.clone().write(bytes),
            Next::FailInTheMiddle => {
                NEXT.set(Next::Fail);
                LINES.clone().write(&bytes[..10])
            }
            Next::Fail => Err(io::ErrorKind::StorageFull.into()),
            Next::Panic | Next::PanicInMakeWriter => panic!("in a writer, on purpose"),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn make_unreliable() -> Unreliable {
    if let Next::PanicInMakeWriter = NEXT.get() {
        panic!("in `make_writer`, on purpose");
    }
    Unreliable
}

#[tokio::test]
async fn lines_that_a_writer_does_not_take_are_counted_and_the_next_one_is_whole() {
    silence_panics();
    LINES.take();
    let lines = Lines::new(make_unreliable);
    let layer = LoggingLayer::server().lines(lines.clone());
    let failures = [Next::Fail, Next::FailInTheMiddle, Next::Panic, Next::PanicInMakeWriter];
    for (index, failure) in failures.into_iter().enumerate() {
        NEXT.set(failure);
        call(&layer).await;
        assert_eq!(lines.dropped(), index as u64 + 1);
        NEXT.set(Next::Write);
        let torn = LINES.take().concat();
        call(&layer).await;
        let next = LINES.take().concat();
        let line = next.strip_prefix('\n').expect("starts on a line of its own");
        without_timestamp(line);
        assert!(torn.len() <= 10, "{torn}");
        call(&layer).await;
        without_timestamp(&LINES.take().concat());
        assert_eq!(lines.dropped(), index as u64 + 1, "no line is lost but the first");
    }
}

#[tokio::test]
async fn a_panic_of_a_call_and_one_of_its_writer_do_not_abort() {
    silence_panics();
    let lines = Lines::new(make_unreliable);
    let layer = LoggingLayer::server().lines(lines.clone());
    NEXT.set(Next::Panic);
    let task = tokio::spawn(async move {
        let stalls = || Ok(Script::new().messages(1).stall().respond());
        let response = layer.layer(answers(stalls)).call(to("/a.B/C")).await;
        // Dropped while this unwinds.
        let _body = response.unwrap().into_body();
        panic!("of a caller, on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(lines.dropped(), 1);
}

#[tokio::test]
async fn a_poisoned_mutex_loses_lines_but_harms_no_call() {
    silence_panics();
    let lines = Lines::new(Mutex::new(Unreliable));
    let layer = LoggingLayer::server().lines(lines.clone());
    NEXT.set(Next::Panic);
    call(&layer).await;
    NEXT.set(Next::Write);
    call(&layer).await;
    assert_eq!(lines.dropped(), 2);
}

/// A writer that makes a call, of which the same access log has a line, before it writes.
struct Calls(Arc<OnceLock<LoggingLayer>>);

impl Write for Calls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        tracing::info!("in a writer");
        let answer = || Ok(stream(1, &Status::ok("")));
        let service = self.0.get().unwrap().layer(answers(answer));
        let mut call = std::pin::pin!(run(service, to("/a.B/FromTheWriter")));
        while tonic_call_test_kit::poll_once(call.as_mut()).is_pending() {}
        LINES.clone().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_line_that_the_writer_causes_is_counted_instead_of_written() {
    listen();
    let layer: Arc<OnceLock<LoggingLayer>> = Arc::default();
    // If the writer waited for its own lock, this test would not end.
    let lines = Lines::new(Mutex::new(Calls(Arc::clone(&layer))));
    let layer = layer.get_or_init(|| LoggingLayer::server().lines(lines.clone()));
    call(layer).await;
    call(layer).await;
    let written = LINES.take();
    assert_eq!((written.len(), lines.dropped()), (2, 2), "{written:#?}");
    for line in &written {
        assert!(without_timestamp(line).contains("test.v1.Kinds/Unary"), "{line}");
    }
    assert_eq!(EVENTS.take().len(), 2, "of the writer");
}

/// An error whose text makes a call and logs.
#[derive(Debug)]
struct CallsInDisplay(LoggingLayer);

impl fmt::Display for CallsInDisplay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!("in `Display`");
        let service = self.0.layer(answers(|| Ok(stream(1, &Status::ok("")))));
        let mut call = std::pin::pin!(run(service, to("/a.B/FromDisplay")));
        while tonic_call_test_kit::poll_once(call.as_mut()).is_pending() {}
        f.write_str("an error")
    }
}

#[tokio::test]
async fn a_hook_and_an_error_may_make_calls_of_their_own() {
    listen();
    let shared = Shared::default();
    let lines = Lines::new(shared.clone());
    let of_hook = LoggingLayer::server().lines(lines.clone());
    let layer = LoggingLayer::client().lines(lines.clone()).on_finished({
        let layer = of_hook.clone();
        move |_| {
            tracing::info!("in a hook");
            let service = layer.layer(answers(|| Ok(stream(1, &Status::ok("")))));
            let mut call = std::pin::pin!(run(service, to("/a.B/FromTheHook")));
            while tonic_call_test_kit::poll_once(call.as_mut()).is_pending() {}
        }
    });
    let fails = service_fn(move |_: Request<Body>| {
        let error = CallsInDisplay(of_hook.clone());
        async move { Err::<Response<Script>, _>(error) }
    });
    run(layer.layer(fails), to("/test.v1.Kinds/Unary")).await;
    let written = shared.take();
    assert_eq!(lines.dropped(), 0);
    assert!(written.iter().filter(|line| line.contains("FromTheHook")).count() == 1);
    assert!(written.iter().filter(|line| line.contains("FromDisplay")).count() >= 1);
    let last = written.last().unwrap();
    assert!(last.contains("Kinds/Unary") && last.contains("an error"), "{last}");
    written.iter().for_each(|line| _ = without_timestamp(line));
}
