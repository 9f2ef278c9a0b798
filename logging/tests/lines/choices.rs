//! Which lines go to the access log, to `tracing`, or to both.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http::Request;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{CallInfo, ObserveLayer, Refusal};
use tonic_call_test_kit::{answers, run, stream, to, trailers_only};
use tonic_logging_layer::{Lines, LoggingLayer};
use tower::{Layer as _, service_fn};
use tracing::Level;

use crate::lines_common::{EVENTS, LINES, listen, take_equal};

async fn call(layer: &LoggingLayer, code: Code) {
    let answer = move || Ok(stream(1, &Status::new(code, "")));
    run(layer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
}

/// The number of lines in the access log, and of events.
fn taken() -> (usize, usize) {
    (LINES.take().len(), EVENTS.take().len())
}

#[tokio::test]
async fn lines_replace_events_unless_both_are_wanted() {
    listen();
    for (layer, count) in [
        (LoggingLayer::server(), (0, 1)),
        (LoggingLayer::server().lines(LINES), (1, 0)),
        (LoggingLayer::server().lines(LINES).events(false), (1, 0)),
        (LoggingLayer::server().lines(LINES).events(true), (1, 1)),
        (LoggingLayer::server().events(true).lines(LINES), (1, 1)),
        (LoggingLayer::server().events(true), (0, 1)),
        (LoggingLayer::server().events(false), (0, 0)),
    ] {
        call(&layer, Code::Ok).await;
        assert_eq!(taken(), count);
        let observer = ObserveLayer::server(layer.observer()).known(layer.known_methods());
        let answer = || Ok(stream(1, &Status::ok("")));
        run(observer.layer(answers(answer)), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(taken(), count);
    }
}

#[tokio::test]
async fn the_access_log_has_a_level_of_its_own() {
    listen();
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    for (index, min_level) in levels.into_iter().enumerate() {
        for (other, level) in levels.into_iter().enumerate() {
            let lines = Lines::new(LINES).min_level(min_level);
            let layer = LoggingLayer::server()
                .level(move |_| Some(level))
                .starts(level)
                .messages(level)
                .lines(lines)
                .events(true);
            call(&layer, Code::Ok).await;
            let all = 1 + 2 + 1;
            assert_eq!(taken(), (if other <= index { all } else { 0 }, all));
        }
    }
}

#[tokio::test]
async fn by_default_lines_below_info_are_left_out() {
    listen();
    let layer = LoggingLayer::client().lines(LINES);
    call(&layer, Code::Ok).await;
    assert_eq!(taken(), (0, 0), "successful calls of a client are `DEBUG`");
    call(&layer, Code::Unknown).await;
    assert_eq!(taken(), (1, 0));
}

#[tokio::test]
async fn a_call_is_chosen_once_for_both_outputs() {
    listen();
    let counts: [Arc<AtomicUsize>; 3] = Default::default();
    let [level, filter, hook] = counts.clone();
    let layer = LoggingLayer::server()
        .level(move |call| {
            level.fetch_add(1, SeqCst);
            Some(call.default_level())
        })
        .filter(move |_| {
            filter.fetch_add(1, SeqCst);
            true
        })
        .on_finished(move |_| _ = hook.fetch_add(1, SeqCst))
        .sample_successes(0.5)
        .lines(LINES)
        .events(true);
    for _ in 0..200 {
        call(&layer, Code::Ok).await;
    }
    assert_eq!(counts.map(|count| count.load(SeqCst)), [200; 3]);
    // Were it sampled for each output, a call would have one line of two as often as both or none.
    let kept = take_equal().len();
    assert!((50..150).contains(&kept), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted_once_for_both_outputs() {
    listen();
    let layer = LoggingLayer::server().refusals_per_second(3).lines(LINES).events(true);
    let refuses = service_fn(|request: Request<Body>| async move {
        let info = CallInfo::of(request.extensions()).unwrap();
        info.add_refusal(Refusal::new("auth", "no_token"));
        Ok::<_, Status>(trailers_only(&Status::unauthenticated("")))
    });
    for _ in 0..10 {
        run(layer.layer(refuses), to("/test.v1.Kinds/Unary")).await;
    }
    assert_eq!(take_equal().len(), 3);
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let lines = take_equal();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(r#""grpc.refusals_left_out":7"#), "{lines:?}");
}

#[tokio::test]
async fn a_writer_may_choose_by_the_level() {
    use tracing_subscriber::fmt::writer::MakeWriterExt as _;

    listen();
    let layer = LoggingLayer::server().lines(LINES.with_max_level(Level::WARN));
    for (code, count) in [(Code::Ok, 0), (Code::Aborted, 1), (Code::Internal, 1)] {
        call(&layer, code).await;
        assert_eq!(taken(), (count, 0), "{code:?}");
    }
}
