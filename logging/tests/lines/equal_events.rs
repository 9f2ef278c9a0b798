//! A line of the layer's own is the same as its event, byte for byte, apart from the time: calls of every ending.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_call::Side;
use tonic_call_test_kit::{
    KINDS, SIDES, Script, answers, poll_once, run, silence_panics, stream, to, to_kind,
    trailers_only,
};
use tower::{Layer as _, Service as _};
use tracing::Level;

use crate::lines_common::{both, listen, take_equal, take_only};

#[tokio::test]
async fn calls_of_every_kind_and_code() {
    listen();
    for side in SIDES {
        for kind in KINDS {
            for code in tonic_call::CODES {
                for messages in [0, 3] {
                    let status = Status::new(code, "why \"not\"\n\u{202e}");
                    let answer = move || Ok(stream(messages, &status));
                    run(both(side).layer(answers(answer)), to_kind(kind)).await;
                    assert_eq!(take_only()["grpc.response.messages"], messages);
                }
            }
        }
    }
}

#[tokio::test]
async fn trailers_only_answers_and_errors() {
    listen();
    for side in SIDES {
        let head = || Ok(trailers_only(&Status::not_found("no such order")));
        run(both(side).layer(answers(head)), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(take_only()["grpc.status_message"], "no such order");

        let fails = || Err(Status::data_loss("gone"));
        run(both(side).layer(answers(fails)), to("/test.v1.Kinds/Unary")).await;
        take_only();

        let no_status = || Ok(Script::new().messages(1).respond());
        run(both(side).layer(answers(no_status)), to("/no.Such/Method")).await;
        take_only();
    }
}

#[tokio::test]
async fn a_call_that_its_caller_drops() {
    listen();
    for side in SIDES {
        let stalls = || Ok(Script::new().messages(1).stall().respond());
        let mut service = both(side).layer(answers(stalls));
        drop(service.call(to("/test.v1.Kinds/ServerStream")).await.unwrap());
        assert_eq!(take_only()["grpc.ended_by"], "caller");
        drop(service.call(to("/test.v1.Kinds/ServerStream")));
        take_only();
    }
}

#[tokio::test]
async fn a_call_that_panics() {
    listen();
    silence_panics();
    for side in SIDES {
        let panics = || Ok(Script::new().messages(1).panic().respond());
        let body = both(side).layer(answers(panics)).call(to("/a.B/C")).await.unwrap().into_body();
        let unwound = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut all = pin!(tonic_call_test_kit::drain(body));
            let _ = poll_once(all.as_mut());
        }));
        assert!(unwound.is_err());
        assert_eq!(take_only()["grpc.ended_by"], "panic");
    }
}

#[tokio::test]
async fn lines_of_starts_and_of_messages() {
    listen();
    for side in SIDES {
        // Formatters add the current span even to root events, and there are messages inside that of the handler.
        let layer = both(side).starts(Level::DEBUG).messages(Level::TRACE).handler_span(false);
        let answer = || Ok(stream(2, &Status::ok("")));
        run(layer.layer(answers(answer)), to("/test.v1.Kinds/ServerStream")).await;
        let lines = take_equal();
        assert_eq!(lines.len(), 1 + 1 + 2 + 1, "{lines:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_that_are_left_out() {
    listen();
    let layer = both(Side::Server).refusals_per_second(1);
    for _ in 0..3 {
        let refused = || Err(Status::unimplemented("no \"such\" method"));
        run(layer.layer(answers(refused)), to("/no.Such/Method")).await;
    }
    take_only();
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let line = take_only();
    assert_eq!(line["message"], "refusals left out");
    assert_eq!(line["grpc.refusals_left_out"], 2);
}

#[tokio::test]
async fn quiet_calls_have_no_line_until_they_fail() {
    listen();
    for (code, count) in [(Code::Ok, 0), (Code::Internal, 1)] {
        let answer = move || Ok(stream(1, &Status::new(code, "")));
        let layer = both(Side::Server).starts(Level::INFO);
        run(layer.layer(answers(answer)), to("/grpc.health.v1.Health/Check")).await;
        assert_eq!(take_equal().len(), count);
    }
}
