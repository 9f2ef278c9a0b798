//! Settings that select the calls and the additional events that are logged.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::advance;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{EndedBy, MethodKind, MethodTable, ObserveLayer, Side};
use tonic_call_test_kit::{KINDS, Script, frame_of, with};
use tonic_logging_layer::{Finished, LoggingLayer};
use tower::{Layer as _, Service as _, service_fn};
use tracing::Level;

use crate::common::{
    self, Lines, SIDES, Seen, answers, call, described, layer, run, stream, to, to_kind,
    trailers_only,
};

const SECOND: Duration = Duration::from_secs(1);

async fn with_status(layer: &LoggingLayer, path: &str, status: Status) {
    call(layer, to(path), move || Ok(stream(1, &status))).await;
}

// Filters.

#[tokio::test]
async fn a_filter_keeps_the_lines_of_which_it_is_true() {
    let lines = Lines::listen();
    for side in SIDES {
        let layer = layer(side)
            .filter(|call| call.rpc().method() == "Unary" && call.code() != Code::NotFound);
        with_status(&layer, "/test.v1.Kinds/Unary", Status::internal("")).await;
        lines.take_only();
        with_status(&layer, "/test.v1.Kinds/Unary", Status::not_found("")).await;
        with_status(&layer, "/test.v1.Kinds/Peek", Status::internal("")).await;
        lines.none();
    }
}

#[tokio::test]
async fn a_filter_is_asked_once_and_after_the_level() {
    let lines = Lines::listen();
    let asked = Arc::new(Mutex::new(0));
    let counts = Arc::clone(&asked);
    let layer = LoggingLayer::server()
        .level(|call| (call.code() != Code::Ok).then_some(Level::INFO))
        .filter(move |_| {
            *counts.lock().unwrap() += 1;
            true
        });
    with_status(&layer, "/a.B/C", Status::ok("")).await;
    with_status(&layer, "/a.B/C", Status::aborted("")).await;
    assert_eq!((*asked.lock().unwrap(), lines.finished().len()), (1, 1));
}

// Sampling.

#[tokio::test]
async fn sampling_drops_successes_and_keeps_all_failures() {
    let lines = Lines::listen();
    for side in SIDES {
        let none = layer(side).sample_successes(0.0);
        with_status(&none, "/test.v1.Kinds/Unary", Status::ok("")).await;
        lines.none();
        for number in 1..17 {
            let status = Status::new(Code::from_i32(number), "");
            with_status(&none, "/test.v1.Kinds/Unary", status).await;
            lines.take_only();
        }
        drop(none.layer(answers(|| Ok(stream(1, &Status::ok(""))))).call(to("/a.B/C")));
        assert_eq!(lines.take_only().code(), "CANCELLED");
    }
}

#[tokio::test]
async fn a_share_of_the_successes_is_kept_across_clones() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server().sample_successes(0.25);
    for _ in 0..200 {
        // Each call uses a clone, as with many connections or routes.
        with_status(&layer.clone(), "/a.B/C", Status::ok("")).await;
    }
    let kept = lines.finished().len();
    assert!((30..=70).contains(&kept), "{kept} of 200");
}

#[tokio::test(start_paused = true)]
async fn sampling_keeps_slow_successes() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server().sample_successes(0.0).slow_after(SECOND);
    run(layer.layer(takes(SECOND)), to("/a.B/C")).await;
    lines.none();
    run(layer.layer(takes(SECOND + Duration::from_millis(1))), to("/a.B/C")).await;
    assert_eq!(lines.take_only().level, Level::WARN);
}

// Slow calls.

/// A service that answers `OK` after this time.
fn takes(
    time: Duration,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = common::Answer> + Send,
> + Clone {
    fails_after(time, Status::ok(""))
}

fn fails_after(
    time: Duration,
    status: Status,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Script>,
    Error = Status,
    Future: Future<Output = common::Answer> + Send,
> + Clone {
    service_fn(move |_: Request<Body>| {
        let answer = stream(1, &status);
        async move {
            advance(time).await;
            Ok(answer)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_at_least_a_warning_and_never_less_loud_than_it_was() {
    let lines = Lines::listen();
    for side in SIDES {
        for number in 0..17 {
            let status = Status::new(Code::from_i32(number), "");
            let layer = described(side).slow_after(SECOND);
            let level = tonic_logging_layer::default_level(side, status.code());
            run(layer.layer(fails_after(SECOND, status.clone())), to_kind(MethodKind::Unary)).await;
            assert_eq!(lines.take_only().level, level, "{status}: exactly as long is not longer");
            run(layer.layer(fails_after(2 * SECOND, status.clone())), to_kind(MethodKind::Unary))
                .await;
            let raised = if level == Level::ERROR { Level::ERROR } else { Level::WARN };
            assert_eq!(lines.take_only().level, raised, "{status}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_level_that_a_function_chose_is_raised_too_and_its_silence_stays() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server()
        .slow_after(SECOND)
        .level(|call| (call.rpc().method() != "Silent").then_some(Level::DEBUG));
    run(layer.layer(takes(2 * SECOND)), to("/a.B/C")).await;
    assert_eq!(lines.take_only().level, Level::WARN);
    run(layer.layer(takes(2 * SECOND)), to("/a.B/Silent")).await;
    lines.none();
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_slow_where_the_kind_is_known() {
    let lines = Lines::listen();
    for (layer, streams_are_slow) in
        [(described(Side::Server), false), (LoggingLayer::server(), true)]
    {
        for kind in KINDS {
            let service = layer.clone().slow_after(SECOND).layer(takes(2 * SECOND));
            run(service, to_kind(kind)).await;
            let is_slow = kind.has_one_response() || streams_are_slow;
            let level = if is_slow { Level::WARN } else { Level::INFO };
            assert_eq!(lines.take_only().level, level, "{kind:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_method_may_have_a_limit_of_its_own_streams_as_well() {
    let lines = Lines::listen();
    let limits = MethodTable::new(Some(SECOND))
        .method("test.v1.Kinds", "ServerStream", Some(3 * SECOND))
        .method("test.v1.Kinds", "BidiStream", None);
    limits.check(&common::methods()).unwrap();
    let layer = described(Side::Server).slow_per_method(limits);
    for (kind, seconds, level) in [
        (MethodKind::Unary, 2, Level::WARN),
        (MethodKind::Unary, 1, Level::INFO),
        (MethodKind::ServerStream, 2, Level::INFO),
        (MethodKind::ServerStream, 4, Level::WARN),
        (MethodKind::BidiStream, 1_000, Level::INFO),
        (MethodKind::ClientStream, 2, Level::WARN),
    ] {
        run(layer.layer(takes(seconds * SECOND)), to_kind(kind)).await;
        assert_eq!(lines.take_only().level, level, "{kind:?} in {seconds} s");
    }
}

// Infrastructure.

const INFRASTRUCTURE: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[tokio::test]
async fn infrastructure_is_quiet_unless_it_fails() {
    let lines = Lines::listen();
    for side in SIDES {
        for path in INFRASTRUCTURE {
            let layer = layer(side).starts(Level::INFO).messages(Level::INFO);
            with_status(&layer, path, Status::ok("")).await;
            // A watcher may cancel its call at any time.
            with_status(&layer, path, Status::cancelled("")).await;
            let mut service = layer.layer(answers(|| Ok(stream(1, &Status::ok("")))));
            drop(service.call(to(path)).await.unwrap());
            lines.none();
            with_status(&layer, path, Status::unknown("no database")).await;
            assert_eq!(lines.take_only().code(), "UNKNOWN", "{path}");
        }
        with_status(&layer(side), "/grpc.health.v1.Healthy/Check", Status::ok("")).await;
        lines.take_only();
    }
}

/// Kubernetes and load balancers set deadlines on their watches, and start them again.
#[tokio::test]
async fn a_watch_that_ends_by_its_own_deadline_is_quiet_and_a_check_that_does_is_not() {
    let lines = Lines::listen();
    for side in SIDES {
        for path in INFRASTRUCTURE {
            let mut service = layer(side).layer(answers(|| Ok(stream(1, &Status::ok("")))));
            let request = with(to(path), &[("grpc-timeout", "0m")]);
            drop(service.call(request).await.unwrap());
            if path.ends_with("/Check") {
                assert_eq!(lines.take_only().code(), "DEADLINE_EXCEEDED", "{path}");
            } else {
                lines.none();
            }
            // A status that the service itself returns is a failure.
            with_status(&layer(side), path, Status::deadline_exceeded("no database")).await;
            assert_eq!(lines.take_only().code(), "DEADLINE_EXCEEDED", "{path}");
        }
    }
}

#[tokio::test]
async fn infrastructure_that_is_included_is_like_any_other_call() {
    let lines = Lines::listen();
    for side in SIDES {
        for path in INFRASTRUCTURE {
            let layer = layer(side).include_infrastructure();
            with_status(&layer, path, Status::ok("")).await;
            lines.take_only();
            let layer = layer.starts(Level::INFO).messages(Level::INFO);
            with_status(&layer, path, Status::ok("")).await;
            // One event for the start, one for each message, and one for the end.
            assert_eq!(lines.take().len(), 4);
        }
    }
}

/// Regression: a service that is in no descriptor set was treated as an unknown path.
#[tokio::test]
async fn infrastructure_that_fails_is_as_loud_as_its_code_beside_a_descriptor_set() {
    let lines = Lines::listen();
    let layer = described(Side::Server);
    with_status(&layer, INFRASTRUCTURE[0], Status::internal("no database")).await;
    assert_eq!(lines.take_only().level, Level::ERROR);
}

// Start and message events.

#[tokio::test]
async fn starts_and_messages_are_not_written_unless_asked_for() {
    let lines = Lines::listen();
    for side in SIDES {
        with_status(&layer(side), "/a.B/C", Status::ok("")).await;
        lines.take_only();
    }
}

fn told(lines: &[Seen]) -> Vec<(&str, Level)> {
    lines.iter().map(|line| (line.message(), line.level)).collect()
}

#[tokio::test]
async fn a_start_is_told_with_what_is_known_by_then() {
    let lines = Lines::listen();
    for side in SIDES {
        let request = with(
            to_kind(MethodKind::BidiStream),
            &[("x-request-id", "8f14e45f"), ("grpc-timeout", "5S"), ("user-agent", "test/1")],
        );
        let mut service =
            described(side).starts(Level::DEBUG).layer(answers(|| Ok(stream(2, &Status::ok("")))));
        let response = service.call(request);
        let seen = lines.take();
        assert_eq!(told(&seen), [("started call", Level::DEBUG)], "before anything is polled");
        assert_eq!(
            seen[0].keys(),
            [
                "grpc.component",
                "grpc.method_type",
                "grpc.protocol",
                "grpc.timeout_ms",
                "message",
                "request_id",
                "rpc.method",
                "rpc.system.name",
                "user_agent.original"
            ]
        );
        assert!(seen[0].is_root && seen[0].target == common::TARGET);
        assert_eq!(seen[0].text("grpc.method_type"), Some("bidi_stream"));
        common::drain(response.await.unwrap().into_body()).await;
        lines.take_only();
    }
}

#[tokio::test]
async fn each_message_is_told_with_its_number_and_size() {
    let lines = Lines::listen();
    for (side, request, response) in [
        (Side::Server, "request received", "response sent"),
        (Side::Client, "request sent", "response received"),
    ] {
        let layer = described(side).messages(Level::TRACE);
        let mut sent = to_kind(MethodKind::BidiStream);
        // Two messages in one frame, one of them empty, and one message in two frames.
        let joined = [frame_of(b"four"), frame_of(b"")].concat();
        let cut = frame_of(b"cut here");
        *sent.body_mut() =
            Script::new().data(joined.into()).data(cut.slice(..7)).pending().data(cut.slice(7..));
        call(&layer, sent, || {
            let status = Status::data_loss("").into_http::<()>().headers().clone();
            Ok(Script::new().message(b"1").message(b"22").trailers_of(status).respond())
        })
        .await;

        let seen = lines.take();
        assert_eq!(
            told(&seen),
            [
                (request, Level::TRACE),
                (request, Level::TRACE),
                (request, Level::TRACE),
                (response, Level::TRACE),
                (response, Level::TRACE),
                ("finished call", if side == Side::Server { Level::ERROR } else { Level::WARN }),
            ]
        );
        let numbers = |line: &Seen, way: &str| {
            let number = |what| line.number(&format!("grpc.{way}.{what}"));
            (number("messages"), number("bytes"))
        };
        let requests: Vec<_> = seen[..3].iter().map(|line| numbers(line, "request")).collect();
        let responses: Vec<_> = seen[3..5].iter().map(|line| numbers(line, "response")).collect();
        let some = |number, bytes| (Some(number), Some(bytes));
        assert_eq!(requests, [some(1, 4), some(2, 0), some(3, 8)]);
        assert_eq!(responses, [some(1, 1), some(2, 2)]);
        assert_eq!(numbers(&seen[0], "response"), (None, None), "nothing of the other way");
        assert_eq!(numbers(&seen[3], "request"), (None, None));
        assert_eq!(numbers(&seen[5], "request"), some(3, 12));
        assert_eq!(numbers(&seen[5], "response"), some(2, 3));
        for line in &seen[..5] {
            assert!(line.is_root && line.fields.get("rpc.response.status_code").is_none());
            assert!(!line.fields.contains_key("duration_ms"));
        }
    }
}

// The `on_finished` hook.

type Told = Arc<Mutex<Vec<String>>>;

fn hooked(layer: LoggingLayer) -> (LoggingLayer, Told) {
    let told = Told::default();
    let hook = Arc::clone(&told);
    let layer = layer.on_finished(move |call| {
        hook.lock().unwrap().push(format!("{} {:?}", call.rpc().full(), call.code()));
    });
    (layer, told)
}

#[tokio::test]
async fn the_hook_is_given_every_call_once_whether_or_not_a_line_is_written() {
    let lines = Lines::listen();
    for side in SIDES {
        let quiet: [LoggingLayer; 4] = [
            layer(side).level(|_| None),
            layer(side).filter(|_| false),
            layer(side).sample_successes(0.0),
            layer(side),
        ];
        for (number, quiet) in quiet.into_iter().enumerate() {
            let path = if number == 3 { INFRASTRUCTURE[0] } else { "/a.B/C" };
            let (layer, told) = hooked(quiet);
            with_status(&layer, path, Status::ok("")).await;
            lines.none();
            assert_eq!(*told.lock().unwrap(), [format!("{} Ok", &path[1..])]);
        }

        let (layer, told) = hooked(layer(side));
        with_status(&layer, "/a.B/C", Status::internal("")).await;
        drop(layer.layer(answers(|| Ok(stream(1, &Status::ok(""))))).call(to("/a.B/D")));
        assert_eq!(*told.lock().unwrap(), ["a.B/C Internal", "a.B/D Cancelled"]);
        assert_eq!(lines.take().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_over_tells_all_about_itself() {
    let lines = Lines::listen();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let facts = move |call: &Finished<'_>| {
        told.lock().unwrap().push(format!(
            "{:?} {} {:?} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            call.side(),
            call.rpc().full(),
            call.code(),
            call.duration(),
            call.is_slow(),
            call.status_message(),
            call.requests(),
            call.responses(),
            call.peer(),
            call.timeout(),
            call.user_agent(),
            call.request_id(),
            call.principal(),
            call.ended_by(),
            call.fields(),
            call.default_level(),
        ));
        assert!(matches!(call.end(), tonic_call::End::Status { code: Code::Aborted, .. }));
        assert!(
            call.refused_by().is_none()
                && call.refused_reason().is_none()
                && call.trace().is_none()
        );
        assert!(format!("{call:?}").contains("Aborted"));
    };
    let layer = LoggingLayer::server().slow_after(SECOND).on_finished(facts);
    let service = service_fn(|request: Request<Body>| async move {
        let info = tonic_call::CallInfo::of(request.extensions()).unwrap();
        info.set_principal("ann");
        info.add_field("n", 1_u64);
        info.set_ended_by(EndedBy::Service);
        common::drain(request.into_body()).await;
        advance(2 * SECOND).await;
        Ok::<_, Infallible>(trailers_only(&Status::aborted("a\nb")))
    });
    let request =
        with(to("/a.B/C"), &[("grpc-timeout", "9S"), ("user-agent", "ua"), ("x-request-id", "id")]);
    run(layer.layer(service), request).await;
    assert_eq!(
        *seen.lock().unwrap(),
        [concat!(
            r#"Server a.B/C Aborted 2s true Some("a\\nb") (1, 1) (0, 0) None Some(9s) "#,
            r#"Some("ua") Some("id") Some("ann") Service [("n", Unsigned(1))] Level(Warn)"#
        )]
    );
    lines.take_only();
}

#[tokio::test]
async fn an_observer_that_is_shared_in_one_pass_knows_the_hook_too() {
    let lines = Lines::listen();
    let (logging, told) = hooked(LoggingLayer::server());
    let service = ObserveLayer::server((logging.observer(), logging.observer()))
        .layer(answers(|| Ok(stream(1, &Status::ok("")))));
    run(service, to("/a.B/C")).await;
    assert_eq!(told.lock().unwrap().len(), 2);
    assert_eq!(lines.finished().len(), 2);
}
