//! A call has one bounded line in every format, whatever its caller or its service sends.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use serde_json::{Map, Value};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{CallInfo, MAX_TEXT_BYTES, Refusal, Side};
use tonic_call_test_kit::Script;
use tonic_logging_layer::LoggingLayer;
use tower::{Layer as _, service_fn};

use crate::common::{self, FORMATS, Lines, SIDES, Seen, layer, run, stream, trailers_only, with};

/// Text that breaks or forges lines, moves the cursor, or is not valid.
const HOSTILE: [&[u8]; 12] = [
    b"a\r\n2026-11-22T00:00:00Z ERROR forged: a line\r\n{\"level\":\"ERROR\"}",
    b"\n",
    b"\x1b[2J\x1b[31mred\x1b]0;title\x07",
    b"nul\0tab\tdel\x7f",
    b"not UTF-8: \xff\xfe\xc0\xaf",
    b"cut \xe2\x82",
    "C1: \u{85}\u{9b}31m".as_bytes(),
    "\u{2028}\u{2029}\u{202e}txt.exe\u{2066}\u{200b}\u{feff}".as_bytes(),
    b"\"}, {\"quoted\": \"\\",
    b"{\"level\":\"ERROR\",\"message\":\"forged\"}",
    b"plain",
    b"",
];

/// Whether this character is allowed in a line.
fn is_fit(char: char) -> bool {
    !char.is_control()
        && !matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
}

/// Asserts one valid line in every format; returns that line.
#[track_caller]
fn one_line(lines: &Lines) -> Seen {
    let line = lines.only();
    for (key, value) in &line.fields {
        if let Some(text) = value.as_str()
            && key != "fields"
        {
            assert!(text.len() <= MAX_TEXT_BYTES, "{key} has {} bytes", text.len());
            assert!(text.chars().all(is_fit), "{key}: {text:?}");
        }
    }
    for format in 0..FORMATS {
        let written = String::from_utf8(lines.written(format)).unwrap();
        let line = written.strip_suffix('\n').expect("a line ends");
        assert!(line.chars().all(is_fit), "format {format}: {line:?}");
        assert!(line.contains("finished call"));
    }
    let [json] = <[Map<String, Value>; 1]>::try_from(lines.json()).unwrap();
    for (key, value) in &line.fields {
        assert_eq!(json.get(key), Some(value), "{key}");
    }
    let [level, target] = ["level", "target"].map(|key| json[key].as_str().unwrap());
    assert_eq!((level, target), (line.level.as_str(), common::TARGET));
    lines.take();
    line
}

fn to_path(path: &[u8]) -> Request<Script> {
    let path = PathAndQuery::try_from(path).unwrap();
    Request::post(Uri::from(path)).body(Script::new()).unwrap()
}

fn bytes_of_header(text: &[u8]) -> Vec<u8> {
    // Only bytes that HTTP allows in a header: no line breaks, no NUL.
    text.iter().copied().filter(|byte| *byte == b'\t' || (*byte >= 32 && *byte != 127)).collect()
}

/// Text in the encoding of `grpc-message`.
fn percent_encoded(text: &[u8]) -> HeaderValue {
    let encoded: String = text.iter().map(|byte| format!("%{byte:02X}")).collect();
    HeaderValue::try_from(encoded).unwrap()
}

fn ends_with(message: HeaderValue, in_head: bool) -> Response<Script> {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", (Code::NotFound as i32).into());
    headers.insert("grpc-message", message);
    if !in_head {
        return Script::new().trailers_of(headers).respond();
    }
    let mut response = Script::new().says_end().respond();
    response.headers_mut().extend(headers);
    response
}

#[tokio::test]
async fn a_hostile_status_message_is_escaped() {
    let lines = Lines::listen();
    for side in SIDES {
        for text in HOSTILE {
            for in_head in [true, false] {
                let message = percent_encoded(text);
                common::call(&layer(side), common::to("/a.B/C"), move || {
                    Ok(ends_with(message.clone(), in_head))
                })
                .await;
                let line = one_line(&lines);
                assert_eq!(line.text("grpc.status_message").is_none(), text.is_empty());
            }
        }
    }
    let message = percent_encoded(b"a\r\nb\x1b[31m");
    let answer = move || Ok(ends_with(message.clone(), true));
    common::call(&layer(Side::Server), common::to("/a.B/C"), answer).await;
    let line = one_line(&lines);
    assert_eq!(line.text("grpc.status_message"), Some(r"a\r\nb\u{1b}[31m"));
}

#[tokio::test]
async fn a_badly_encoded_status_message_is_told_as_it_came() {
    let lines = Lines::listen();
    for (sent, told) in [
        (&b"100%"[..], "100%"),
        (b"%zz%4", "%zz%4"),
        (b"raw \xff\xe9 bytes", "raw \u{fffd}\u{fffd} bytes"),
        (b"%FF%FE", "\u{fffd}\u{fffd}"),
        (b"Gr%C3%BC%C3%9Fe", "Grüße"),
    ] {
        let message = HeaderValue::from_bytes(sent).unwrap();
        let answer = move || Ok(ends_with(message.clone(), false));
        common::call(&layer(Side::Server), common::to("/a.B/C"), answer).await;
        assert_eq!(one_line(&lines).text("grpc.status_message"), Some(told));
    }
}

#[tokio::test]
async fn a_status_message_of_100_kb_is_cut() {
    let lines = Lines::listen();
    for text in [vec![b'x'; 100 * 1_024], b"\n".repeat(100 * 1_024), vec![0xff; 100 * 1_024]] {
        let message = percent_encoded(&text);
        let answer = move || Ok(ends_with(message.clone(), false));
        common::call(&layer(Side::Server), common::to("/a.B/C"), answer).await;
        let line = one_line(&lines);
        let told = line.text("grpc.status_message").unwrap();
        assert!(told.ends_with('…') && told.len() > MAX_TEXT_BYTES - 10, "{}", told.len());
    }
}

#[tokio::test]
async fn the_text_of_an_error_is_escaped_and_cut() {
    let lines = Lines::listen();
    for text in HOSTILE {
        let text = String::from_utf8_lossy(text).repeat(200);
        let answer = move || Err(Status::internal(text.clone()));
        common::call(&layer(Side::Server), common::to("/a.B/C"), answer.clone()).await;
        one_line(&lines);
        let Err(status) = answer() else { unreachable!() };
        let in_body = move || Ok(Script::new().messages(1).error(status.clone()).respond());
        common::call(&layer(Side::Client), common::to("/a.B/C"), in_body).await;
        one_line(&lines);
    }
}

#[tokio::test]
async fn hostile_headers_are_escaped_and_cut() {
    let lines = Lines::listen();
    for text in HOSTILE {
        for times in [1, 500] {
            let value = bytes_of_header(&text.repeat(times));
            for side in SIDES {
                let layer = layer(side)
                    .request_metadata(["x-tenant"])
                    .response_metadata(["x-cost", "x-head"]);
                let headers = ["user-agent", "x-request-id", "x-tenant", "x-tenant"];
                let headers = headers.map(|name| (name, &value));
                let request = with(common::to("/a.B/C"), &headers);
                let answer = HeaderValue::from_bytes(&value).unwrap();
                common::call(&layer, request, move || {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", 0.into());
                    trailers.insert("x-cost", answer.clone());
                    let mut response = Script::new().trailers_of(trailers).respond();
                    response.headers_mut().insert("x-head", answer.clone());
                    Ok(response)
                })
                .await;
                let line = one_line(&lines);
                for key in [
                    "user_agent.original",
                    "request_id",
                    "rpc.request.metadata.x-tenant",
                    "rpc.response.metadata.x-cost",
                    "rpc.response.metadata.x-head",
                ] {
                    assert!(line.text(key).is_some(), "{key}");
                }
            }
        }
    }
}

#[tokio::test]
async fn bytes_of_a_header_that_are_no_text_are_told_in_hexadecimal() {
    let lines = Lines::listen();
    let request = with(
        common::to("/a.B/C"),
        &[("user-agent", &b"caf\xe9"[..]), ("x-request-id", b"tab\there")],
    );
    common::call(&layer(Side::Server), request, || Ok(stream(1, &Status::ok("")))).await;
    let line = one_line(&lines);
    assert_eq!(line.text("user_agent.original"), Some(r"caf\xe9"));
    assert_eq!(line.text("request_id"), Some(r"tab\there"));
}

#[tokio::test]
async fn a_hostile_path_is_told_as_it_came_escaped_and_cut() {
    let lines = Lines::listen();
    let endless = [&b"/"[..], &b"x".repeat(5_000), b"/M"].concat();
    for (path, told) in [
        (&b"/.env"[..], Some("/.env")),
        (b"/a.B/C/D", Some("/a.B/C/D")),
        (b"/a.B/", Some("/a.B/")),
        (b"//", Some("//")),
        (b"/a.B/C?a=b", Some("a.B/C")),
        (b"/%0a%0dforged/C", Some("%0a%0dforged/C")),
        (b"/{\"level\":\"ERROR\"}/\"", Some(r#"{"level":"ERROR"}/""#)),
        ("/\u{202e}\u{85}/C".as_bytes(), Some(r"\u{202e}\u{85}/C")),
        (&endless, None),
    ] {
        for in_a_span in [true, false] {
            let layer = LoggingLayer::server().handler_span(in_a_span);
            let none = || Ok(trailers_only(&Status::unimplemented("")));
            common::call(&layer, to_path(path), none).await;
            let line = one_line(&lines);
            let method = line.text("rpc.method").unwrap();
            match told {
                Some(told) => assert_eq!(method, told),
                None => assert!(method.ends_with('…') && method.len() <= MAX_TEXT_BYTES),
            }
        }
    }
}

#[tokio::test]
async fn what_layers_say_of_a_caller_is_escaped_and_cut() {
    let lines = Lines::listen();
    for text in HOSTILE {
        for times in [1, 500] {
            let text = String::from_utf8_lossy(text).repeat(times);
            let said = text.clone();
            let service = service_fn(move |request: Request<Body>| {
                let info = CallInfo::of(request.extensions()).unwrap();
                info.set_principal(&*said);
                info.add_refusal(Refusal::new("auth", said.clone()));
                info.add_field("declared", said.clone());
                info.add_field("other", said.clone());
                info.add_field(format!("key {said}"), 1_u64);
                async { Ok::<_, Status>(trailers_only(&Status::unauthenticated(""))) }
            });
            let layer = layer(Side::Server).fields(["declared"]).unwrap();
            run(layer.layer(service), common::to("/a.B/C")).await;
            let line = one_line(&lines);
            for key in ["enduser.id", "grpc.refused_reason", "declared", "fields"] {
                assert!(line.text(key).is_some(), "{key}");
            }
            let fields: Map<String, Value> =
                serde_json::from_str(line.text("fields").unwrap()).unwrap();
            assert_eq!(fields["other"], line.fields["declared"]);
            assert_eq!(fields.len(), 2);
            for (key, value) in &fields {
                assert!(key.chars().all(is_fit) && key.len() <= MAX_TEXT_BYTES, "{key:?}");
                let text = value.as_str().unwrap_or_default();
                assert!(text.chars().all(is_fit) && text.len() <= MAX_TEXT_BYTES, "{text:?}");
            }
        }
    }
}

#[tokio::test]
async fn starts_and_messages_of_a_hostile_call_are_one_line_each() {
    let lines = Lines::listen();
    for text in HOSTILE {
        let value = bytes_of_header(text);
        let layer = layer(Side::Server).starts(tracing::Level::INFO).messages(tracing::Level::INFO);
        let headers = ["user-agent", "x-request-id"].map(|name| (name, &value));
        let mut request = with(to_path("/\u{202e}\u{85}/C".as_bytes()), &headers);
        *request.body_mut() = Script::new().message(b"a\nb\x1b[31m");
        common::call(&layer, request, || Ok(stream(1, &Status::ok("")))).await;
        let seen = lines.all();
        assert_eq!(seen.len(), 4);
        for format in 0..FORMATS {
            let written = String::from_utf8(lines.written(format)).unwrap();
            assert_eq!(written.lines().count(), 4);
            assert!(written.lines().all(|line| line.chars().all(is_fit)), "{written:?}");
        }
        assert_eq!(lines.json().len(), 4);
        lines.take();
    }
}

#[tokio::test]
async fn what_a_handler_says_inside_a_hostile_span_is_one_line() {
    let lines = Lines::listen();
    for text in HOSTILE {
        let value = bytes_of_header(text);
        let request = with(
            to_path("/\u{202e}\u{85}/C".as_bytes()),
            &[("x-request-id", &value), ("x-request-id", &value)],
        );
        let service = service_fn(async |_: Request<Body>| {
            tracing::info!("in a handler");
            Ok::<_, Status>(trailers_only(&Status::ok("")))
        });
        run(layer(Side::Server).layer(service), request).await;
        for format in 0..FORMATS {
            let written = String::from_utf8(lines.written(format)).unwrap();
            assert_eq!(written.lines().count(), 2, "{written:?}");
            assert!(written.lines().all(|line| line.chars().all(is_fit)), "{written:?}");
        }
        let [inside, _] = <[Map<String, Value>; 2]>::try_from(lines.json()).unwrap();
        assert_eq!(inside["span"]["rpc.method"], r"\u{202e}\u{85}/C");
        lines.take();
    }
}
