//! The level of a call's line.

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_call::{MethodKind, Rejection, Side};
use tonic_call_test_kit::{KINDS, Script};
use tonic_logging_layer::{LoggingLayer, default_level};
use tower::Layer as _;
use tracing::Level;

use crate::common::{
    self, Lines, SIDES, call, described, layer, name_of, stream, to, to_kind, trailers_only, with,
};

/// The table of go-grpc-middleware: number, name, level on a server, level on a client.
const TABLE: [(i32, &str, Level, Level); 17] = [
    (0, "OK", Level::INFO, Level::DEBUG),
    (1, "CANCELLED", Level::INFO, Level::DEBUG),
    (2, "UNKNOWN", Level::ERROR, Level::INFO),
    (3, "INVALID_ARGUMENT", Level::INFO, Level::DEBUG),
    (4, "DEADLINE_EXCEEDED", Level::WARN, Level::INFO),
    (5, "NOT_FOUND", Level::INFO, Level::DEBUG),
    (6, "ALREADY_EXISTS", Level::INFO, Level::DEBUG),
    (7, "PERMISSION_DENIED", Level::WARN, Level::INFO),
    (8, "RESOURCE_EXHAUSTED", Level::WARN, Level::DEBUG),
    (9, "FAILED_PRECONDITION", Level::WARN, Level::DEBUG),
    (10, "ABORTED", Level::WARN, Level::DEBUG),
    (11, "OUT_OF_RANGE", Level::WARN, Level::DEBUG),
    (12, "UNIMPLEMENTED", Level::ERROR, Level::WARN),
    (13, "INTERNAL", Level::ERROR, Level::WARN),
    (14, "UNAVAILABLE", Level::WARN, Level::WARN),
    (15, "DATA_LOSS", Level::ERROR, Level::WARN),
    (16, "UNAUTHENTICATED", Level::INFO, Level::INFO),
];

fn level_of(side: Side, server: Level, client: Level) -> Level {
    match side {
        Side::Server => server,
        Side::Client => client,
    }
}

#[test]
fn the_default_levels_are_those_of_the_table() {
    for (number, _, server, client) in TABLE {
        let code = Code::from_i32(number);
        assert_eq!(default_level(Side::Server, code), server, "{code:?}");
        assert_eq!(default_level(Side::Client, code), client, "{code:?}");
    }
}

#[tokio::test]
async fn every_code_of_every_kind_on_both_sides_is_one_line_of_its_level() {
    let lines = Lines::listen();
    for side in SIDES {
        let layer = described(side);
        for kind in KINDS {
            for (number, name, server, client) in TABLE {
                let level = level_of(side, server, client);
                let status = Status::new(Code::from_i32(number), "as told");
                let messages = if kind.has_one_response() { 1 } else { 3 };

                let answer = status.clone();
                call(&layer, to_kind(kind), move || Ok(stream(messages, &answer))).await;
                let line = lines.take_only();
                assert_eq!(line.level, level, "{side:?} {kind:?} {name}");
                assert_eq!((line.code(), line.side()), (name, name_of(side)));
                assert_eq!(line.text("grpc.method_type"), Some(kind.as_str()));
                assert_eq!(line.messages(), (1, messages as u64));
                assert_eq!(line.ended_by(), "service");
                let message = (number != 0).then_some("as told");
                assert_eq!(line.text("grpc.status_message"), message, "{name}");

                let answer = status.clone();
                call(&layer, to_kind(kind), move || Ok(trailers_only(&answer))).await;
                let line = lines.take_only();
                assert_eq!((line.level, line.code()), (level, name), "in the head");
                assert_eq!(line.messages(), (1, 0));
                assert_eq!(line.text("grpc.status_message"), message, "{name}");

                let answer = status.clone();
                call(&layer, to_kind(kind), move || Err(answer.clone())).await;
                let line = lines.take_only();
                assert_eq!((line.level, line.code()), (level, name), "as an error");
            }
        }
    }
}

#[tokio::test]
async fn a_number_that_grpc_does_not_define_is_as_loud_as_unknown() {
    let lines = Lines::listen();
    for side in SIDES {
        for status in ["17", "-1", "200", "", "OK"] {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            call(&described(side), to_kind(MethodKind::Unary), move || {
                Ok(Script::new().trailers_of(trailers.clone()).respond())
            })
            .await;
            let line = lines.take_only();
            let level = level_of(side, Level::ERROR, Level::INFO);
            assert_eq!((line.level, line.code()), (level, "UNKNOWN"), "{status:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_status_is_as_loud_as_what_its_http_status_means() {
    let lines = Lines::listen();
    for (http, name, level, by) in [
        (200, "UNKNOWN", Level::ERROR, "service"),
        // Any client can cause these, so they must not page anyone.
        (400, "INVALID_ARGUMENT", Level::INFO, "caller"),
        (404, "INVALID_ARGUMENT", Level::INFO, "caller"),
        (405, "INVALID_ARGUMENT", Level::INFO, "caller"),
        (503, "UNAVAILABLE", Level::WARN, "service"),
    ] {
        call(&described(Side::Server), to_kind(MethodKind::Unary), move || {
            let mut response = Script::new().respond();
            *response.status_mut() = http::StatusCode::from_u16(http).unwrap();
            Ok(response)
        })
        .await;
        let line = lines.take_only();
        assert_eq!((line.level, line.code()), (level, name), "{http}");
        assert_eq!(line.text("grpc.ended_by"), Some(by), "{http}");
        let message = format!("no grpc-status, HTTP status {http}");
        assert_eq!(line.text("grpc.status_message"), Some(&*message));
    }
}

/// Paths that are in no descriptor set; some do not even have the form of a method.
const STRANGE: [&str; 6] =
    ["/a.B/C", "/test.v1.Kinds/Unary/", "/test.v1.Kinds/unary", "/", "/.env", "//"];

#[tokio::test]
async fn with_methods_a_call_of_an_unknown_path_is_info_however_it_ends() {
    let lines = Lines::listen();
    for path in STRANGE {
        for (number, name, ..) in TABLE {
            let status = Status::new(Code::from_i32(number), "");
            call(&described(Side::Server), to(path), move || Ok(trailers_only(&status))).await;
            let line = lines.take_only();
            assert_eq!((line.level, line.code()), (Level::INFO, name), "{path}");
        }
    }
}

#[tokio::test]
async fn without_methods_a_path_that_is_unimplemented_is_info() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server();
    for path in STRANGE {
        let none = || Ok(trailers_only(&Status::unimplemented("")));
        call(&layer, to(path), none).await;
        let line = lines.take_only();
        assert_eq!((line.level, line.code()), (Level::INFO, "UNIMPLEMENTED"), "{path}");
    }
}

#[tokio::test]
async fn without_methods_a_methods_first_failure_is_as_loud_as_any() {
    let lines = Lines::listen();
    for (number, name, server, _) in
        TABLE.into_iter().filter(|(_, name, ..)| *name != "UNIMPLEMENTED")
    {
        // The layer does not know any method yet.
        let status = Status::new(Code::from_i32(number), "");
        call(&LoggingLayer::server(), to_kind(MethodKind::Unary), move || {
            Ok(trailers_only(&status))
        })
        .await;
        assert_eq!(lines.take_only().level, server, "{name}");
    }
}

#[tokio::test]
async fn without_methods_unimplemented_is_an_error_once_the_method_has_answered() {
    let lines = Lines::listen();
    let layer = LoggingLayer::server();
    let none = || Ok(trailers_only(&Status::unimplemented("")));
    call(&layer, to_kind(MethodKind::Unary), none).await;
    assert_eq!(lines.take_only().level, Level::INFO);
    call(&layer, to_kind(MethodKind::Unary), || Ok(stream(1, &Status::ok("")))).await;
    lines.take_only();
    call(&layer, to_kind(MethodKind::Unary), none).await;
    assert_eq!(lines.take_only().level, Level::ERROR);
}

#[tokio::test]
async fn a_client_calls_what_it_likes_and_no_path_is_unknown_to_it() {
    let lines = Lines::listen();
    for layer in [layer(Side::Client), described(Side::Client)] {
        call(&layer, to("/a.B/C"), || Ok(trailers_only(&Status::unimplemented("")))).await;
        assert_eq!(lines.take_only().level, Level::WARN);
        call(&layer, to("/a.B/C"), || Ok(trailers_only(&Status::internal("")))).await;
        assert_eq!(lines.take_only().level, Level::WARN);
    }
}

/// Regression: the layer checked its own flag instead of `known`, which may also have a descriptor set.
#[tokio::test]
async fn what_is_known_of_the_methods_counts_however_the_layer_was_told() {
    let lines = Lines::listen();
    let described = std::sync::Arc::new(tonic_call::KnownMethods::described(common::methods()));
    let layer = LoggingLayer::server().known(described);
    call(&layer, to("/a.B/C"), || Ok(trailers_only(&Status::permission_denied("")))).await;
    assert_eq!(lines.take_only().level, Level::INFO, "an unknown path, whatever its code");

    let learning = std::sync::Arc::new(tonic_call::KnownMethods::learning());
    let layer = LoggingLayer::server().methods(&common::methods()).known(learning);
    call(&layer, to_kind(MethodKind::Unary), || Ok(trailers_only(&Status::internal("")))).await;
    assert_eq!(lines.take_only().level, Level::ERROR, "nothing says that the path is unknown");
}

/// Regression: a shared pass learns other methods than those of the logging layer, and errors had no line.
#[tokio::test]
async fn in_one_pass_with_others_a_methods_first_internal_is_an_error() {
    let lines = Lines::listen();
    let logging = LoggingLayer::server().methods(&common::methods());
    let service = tonic_call::ObserveLayer::server(logging.observer())
        .layer(common::answers(|| Ok(trailers_only(&Status::internal("")))));
    common::run(service, to_kind(MethodKind::Unary)).await;
    assert_eq!(lines.take_only().level, Level::ERROR);
}

#[tokio::test]
async fn a_function_chooses_the_level_and_none_is_silence() {
    let lines = Lines::listen();
    for side in SIDES {
        let layer = layer(side).level(|call| match call.code() {
            Code::Ok => None,
            Code::NotFound => Some(Level::TRACE),
            Code::Internal => Some(Level::DEBUG),
            _ => Some(call.default_level()),
        });
        for (status, level) in [
            (Status::ok(""), None),
            (Status::not_found(""), Some(Level::TRACE)),
            (Status::internal(""), Some(Level::DEBUG)),
            (Status::unavailable(""), Some(Level::WARN)),
        ] {
            let answer = status.clone();
            call(&layer, to_kind(MethodKind::Unary), move || Ok(stream(1, &answer))).await;
            let seen: Vec<_> = lines.take().into_iter().map(|line| line.level).collect();
            assert_eq!(seen, Vec::from_iter(level), "{status}");
        }
    }
}

#[tokio::test]
async fn a_refusal_has_the_level_of_its_code_but_is_no_error() {
    for (status, level) in [
        (Status::permission_denied("no"), Level::WARN),
        (Status::unauthenticated("no"), Level::INFO),
        (Status::internal("malformed"), Level::WARN),
        (Status::unimplemented("no"), Level::WARN),
    ] {
        let lines = Lines::listen();
        let code = tonic_call::Protocol::Grpc.code_name(status.code());
        let refuses = tower::service_fn(async |request: http::Request<tonic::body::Body>| {
            let refusal = tonic_call::Refusal::new("auth", "TOKEN_EXPIRED");
            let rejection = Rejection::new(refusal, status.clone());
            let response: http::Response<tonic_call::AnswerBody<Script>> =
                rejection.into_response(request.extensions());
            Ok::<_, Status>(response)
        });
        let request = with(to_kind(MethodKind::Unary), &[("authorization", "Bearer secret")]);
        common::run(described(Side::Server).layer(refuses), request).await;
        let line = lines.take_only();
        assert_eq!((line.level, line.code()), (level, code));
        assert_eq!(line.ended_by(), "refusal");
        assert_eq!(line.text("grpc.refused_by"), Some("auth"));
        assert_eq!(line.text("grpc.refused_reason"), Some("TOKEN_EXPIRED"));
    }
}
