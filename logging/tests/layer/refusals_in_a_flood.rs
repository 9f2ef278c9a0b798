//! Refused calls cannot flood the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::advance;
use tonic::Status;
use tonic_call::{CallInfo, Refusal, Side};
use tonic_call_test_kit::Script;
use tonic_logging_layer::LoggingLayer;
use tower::{Layer, service_fn};
use tracing::Level;

use crate::common::{Lines, Seen, answers, described, run, stream, to, trailers_only};

const UNARY: &str = "/test.v1.Kinds/Unary";
const STREAM: &str = "/test.v1.Kinds/ServerStream";

/// Makes calls that a layer inside refuses for this reason.
async fn refused(layer: &LoggingLayer, path: &str, reason: &'static str, times: usize) {
    for _ in 0..times {
        let inner = service_fn(move |request: http::Request<tonic::body::Body>| async move {
            let info = CallInfo::of(request.extensions()).unwrap();
            info.add_refusal(Refusal::new("auth", reason));
            Ok::<_, Status>(trailers_only(&Status::unauthenticated("no")))
        });
        run(layer.layer(inner), to(path)).await;
    }
}

fn left_out(lines: &Lines) -> Vec<Seen> {
    lines.all().into_iter().filter(|seen| seen.message() == "refusals left out").collect()
}

fn count(seen: &Seen) -> u64 {
    seen.number("grpc.refusals_left_out").unwrap()
}

/// Advances the clock by this time, and runs the tasks that are due.
async fn pass(time: Duration) {
    advance(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_lines_are_written_per_second_and_one_says_how_many_were_not() {
    let lines = Lines::listen();
    let seen = Arc::new(AtomicUsize::new(0));
    let hook = Arc::clone(&seen);
    let layer = described(Side::Server).refusals_per_second(3).on_finished(move |_| {
        hook.fetch_add(1, Ordering::SeqCst);
    });
    refused(&layer, UNARY, "TOKEN_MISSING", 1_000).await;
    assert_eq!(lines.finished().len(), 3);
    assert_eq!(seen.load(Ordering::SeqCst), 1_000, "the hook is given all of them");
    assert!(left_out(&lines).is_empty(), "the second is not over");

    // The flood is reported even though no further call is refused.
    pass(Duration::from_secs(1)).await;
    let [line] = &left_out(&lines)[..] else { panic!("{:#?}", lines.all()) };
    assert_eq!(count(line), 997);
    assert_eq!(line.text("rpc.method"), Some("test.v1.Kinds/Unary"));
    assert_eq!(line.text("grpc.refused_by"), Some("auth"));
    assert_eq!(line.text("grpc.refused_reason"), Some("TOKEN_MISSING"));
    assert_eq!(line.side(), "server");
    assert_eq!(line.level, Level::INFO, "that of the lines that are left out");

    // The next second has its own lines, and no refusal is reported twice.
    lines.take();
    refused(&layer, UNARY, "TOKEN_MISSING", 3).await;
    assert_eq!(lines.finished().len(), 3);
    pass(Duration::from_secs(5)).await;
    assert!(left_out(&lines).is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_method_and_reason_has_lines_of_its_own() {
    let lines = Lines::listen();
    let layer = described(Side::Server).refusals_per_second(1);
    for path in [UNARY, STREAM] {
        for reason in ["TOKEN_MISSING", "TOKEN_EXPIRED"] {
            refused(&layer, path, reason, 2).await;
        }
    }
    assert_eq!(lines.finished().len(), 4);
    pass(Duration::from_secs(1)).await;
    assert_eq!(left_out(&lines).iter().map(count).collect::<Vec<_>>(), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn names_and_reasons_that_are_invented_do_not_make_more_lines_than_that() {
    let lines = Lines::listen();
    let layer = described(Side::Server).refusals_per_second(2);
    for number in 0..3_000 {
        let path = format!("/invented.Service/Method{number}");
        run(layer.layer(answers(|| Ok(trailers_only(&Status::unimplemented(""))))), to(&path))
            .await;
    }
    assert_eq!(lines.finished().len(), 2, "no layer refused them, and no credentials were needed");
    pass(Duration::from_secs(1)).await;
    let [line] = &left_out(&lines)[..] else { panic!("{:#?}", lines.all()) };
    assert_eq!((count(line), line.text("rpc.method")), (2_998, None));
    assert_eq!(line.text("grpc.refused_reason"), Some("UNIMPLEMENTED"));

    lines.take();
    for number in 0..3_000 {
        let inner = service_fn(move |request: http::Request<tonic::body::Body>| async move {
            let info = CallInfo::of(request.extensions()).unwrap();
            info.add_refusal(Refusal::new("own", format!("REASON_{number}")));
            Ok::<_, Status>(trailers_only(&Status::unauthenticated("no")))
        });
        run(layer.layer(inner), to(UNARY)).await;
    }
    // 1,023 or 1,024 reasons with one line each, and two lines for all others.
    let written = lines.finished().len();
    assert!((1_020..=1_030).contains(&written), "{written}");
    pass(Duration::from_secs(1)).await;
    let [line] = &left_out(&lines)[..] else { panic!("{:#?}", lines.all()) };
    assert_eq!(count(line) + written as u64, 3_000);
    assert_eq!(line.text("grpc.refused_reason"), Some("others"));
    // Old reasons are removed: new reasons have lines again.
    pass(Duration::from_secs(1)).await;
    lines.take();
    refused(&layer, UNARY, "NEW", 3).await;
    assert_eq!(lines.finished()[0].text("grpc.refused_reason"), Some("NEW"));
    pass(Duration::from_secs(1)).await;
    assert_eq!(left_out(&lines)[0].text("grpc.refused_reason"), Some("NEW"));
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_anybody_without_credentials_is_limited_too() {
    let lines = Lines::listen();
    let layer = described(Side::Server).refusals_per_second(1);
    for _ in 0..5 {
        let not_found = || Ok(trailers_only(&Status::not_found("no such service")));
        run(layer.layer(answers(not_found)), to("/grpc.health.v1.Health/Check")).await;
        let html = || Ok(http::Response::builder().status(415).body(Script::new()).unwrap());
        run(layer.layer(answers(html)), to(UNARY)).await;
    }
    assert_eq!(lines.finished().len(), 2);
    pass(Duration::from_secs(1)).await;
    let reasons = left_out(&lines);
    let mut reasons: Vec<_> =
        reasons.iter().map(|seen| (seen.text("grpc.refused_reason"), count(seen))).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, [(Some("INVALID_ARGUMENT"), 4), (Some("NOT_FOUND"), 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_count_is_said_before_the_next_line_of_its_kind() {
    let lines = Lines::listen();
    let layer = described(Side::Server).refusals_per_second(1);
    refused(&layer, UNARY, "TOKEN_MISSING", 3).await;
    advance(Duration::from_millis(1_500)).await;
    refused(&layer, UNARY, "TOKEN_MISSING", 1).await;
    pass(Duration::from_secs(5)).await;
    let messages: Vec<_> = lines.all().iter().map(|seen| seen.message().to_owned()).collect();
    assert_eq!(messages, ["finished call", "refusals left out", "finished call"]);
}

#[test]
fn a_count_is_said_when_the_runtime_ends() {
    let lines = Lines::listen();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let layer = described(Side::Server).refusals_per_second(1);
    runtime.block_on(refused(&layer, UNARY, "TOKEN_MISSING", 8));
    drop(runtime);
    assert_eq!(left_out(&lines).iter().map(count).collect::<Vec<_>>(), [7]);
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_not_refused_have_all_their_lines() {
    let lines = Lines::listen();
    let layer = described(Side::Server).refusals_per_second(0);
    for _ in 0..20 {
        run(layer.layer(answers(|| Ok(stream(1, &Status::ok(""))))), to(UNARY)).await;
        run(layer.layer(answers(|| Ok(trailers_only(&Status::not_found(""))))), to(UNARY)).await;
    }
    assert_eq!(lines.finished().len(), 40);
    refused(&layer, UNARY, "TOKEN_MISSING", 1).await;
    assert_eq!(lines.finished().len(), 40);
}

#[tokio::test(start_paused = true)]
async fn by_default_every_refusal_has_its_line() {
    let lines = Lines::listen();
    refused(&described(Side::Server), UNARY, "TOKEN_MISSING", 200).await;
    assert_eq!(lines.finished().len(), 200);
}
