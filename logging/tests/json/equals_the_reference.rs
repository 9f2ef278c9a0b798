//! The lines are those of `tracing_subscriber::fmt().json().flatten_event(true)`, byte for byte.

use std::error::Error;
use std::fmt;

use tracing::field::{Empty, debug};
use tracing::{Level, debug, error, error_span, info, info_span, trace, warn};
use tracing_log::{LogTracer, log};

use crate::support::{Sink, assert_equal, ours};

#[test]
fn each_level_has_its_name() {
    let lines = assert_equal(|| {
        error!("one");
        warn!("two");
        info!("three");
        debug!("four");
        trace!("five");
    });
    assert_eq!(lines.lines().count(), 5);
}

#[test]
fn an_event_without_a_message_or_fields_has_a_line() {
    assert_equal(|| {
        tracing::event!(Level::INFO, {}, "{}", "");
        info!(a = 1);
        info!("");
    });
}

#[test]
fn numbers_and_booleans_are_not_strings() {
    let lines = assert_equal(|| {
        info!(
            u = 0_u64,
            i = -1,
            least = i64::MIN,
            most = u64::MAX,
            small = 7_u8,
            yes = true,
            no = false
        );
    });
    assert!(lines.contains("\"i\":-1,\"least\":-9223372036854775808,"), "{lines}");
}

#[test]
fn numbers_of_128_bits_are_strings() {
    let lines = assert_equal(|| {
        let _span = info_span!("span", big = u128::MAX, least = i128::MIN).entered();
        info!(big = u128::MAX, small = 1_u128, least = i128::MIN);
    });
    assert!(lines.contains("\"big\":\"340282366920938463463374607431768211455\""), "{lines}");
}

#[test]
fn floats_keep_their_point() {
    let lines = assert_equal(|| {
        let _span = info_span!("span", one = 1.0, tenth = 0.1, huge = 1e16, tiny = 1e-7).entered();
        info!(one = 1.0, tenth = 0.1, huge = 1e16, tiny = 1e-7, zero = -0.0, f32 = 0.5_f32);
    });
    assert!(lines.contains("\"one\":1.0,\"tenth\":0.1,"), "{lines}");
}

#[test]
fn floats_that_json_lacks_are_null() {
    let lines = assert_equal(|| {
        let _span = info_span!("span", nan = f64::NAN, infinite = f64::INFINITY).entered();
        info!(nan = f64::NAN, infinite = f64::INFINITY, negative = f64::NEG_INFINITY);
    });
    assert!(lines.contains("\"nan\":null,\"infinite\":null,\"negative\":null"), "{lines}");
}

#[test]
fn text_is_escaped() {
    let text = "quote \" backslash \\ tab \t line \n return \r bell \u{7} back \u{8} feed \u{c} delete \u{7f} é 名 \u{1f600} \u{2028} \u{1b}[31m";
    assert_equal(|| {
        let _span = info_span!("sp\"an", text, debug = ?text, display = %text).entered();
        info!(text, debug = ?text, display = %text, "a message: {text}");
        info!(target: "a \"target\"", "text");
    });
}

#[test]
fn keys_are_escaped() {
    assert_equal(|| {
        let _span = info_span!("span", "a \"key\"\n" = 1, "é" = 2, "\\" = 3).entered();
        info!("a \"key\"\n" = 1, "é" = 2);
    });
}

/// tracing-subscriber's formatter loses the record.
#[test]
fn a_span_whose_keys_are_escaped_may_record() {
    let sink = Sink::default();
    let subscriber = ours().with_writer(sink.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        let span = info_span!("span", "a \"key\"\n" = 1, "\\" = Empty, b = 2);
        span.record("\\", 3).record("a \"key\"\n", 4);
        span.in_scope(|| info!("inside"));
    });
    let line = sink.take();
    assert!(line.contains(r#""span":{"\\":3,"a \"key\"\n":4,"b":2,"name":"span"}"#), "{line}");
}

#[test]
fn values_may_have_debug_or_display() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "read by Debug")]
    struct Point {
        x: i32,
        name: &'static str,
    }
    assert_equal(|| {
        let point = Point { x: 1, name: "a \"name\"" };
        let _span =
            info_span!("span", ?point, alternate = debug(&point), shown = display(7)).entered();
        info!(?point, none = ?None::<u8>, unit = ?(), shown = %"text", "message {point:?} {:#?}", point);
        info!(some = Some(1), none = None::<u8>, text = Some("a"), owned = String::from("b"));
    });
}

#[test]
fn bytes_are_hexadecimal_in_an_event_and_numbers_in_a_span() {
    assert_equal(|| {
        let span = info_span!("span", bytes = &b"abc"[..], none = &b""[..], later = Empty, z = 1);
        span.record("later", &b"\x00\xff"[..]);
        let _span = span.entered();
        info!(bytes = &b"abc"[..], none = &b""[..]);
    });
}

#[derive(Debug)]
struct Failure(Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it \"failed\"")
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|source| source as _)
    }
}

#[test]
fn errors_are_written_with_display() {
    let lines = assert_equal(|| {
        let error = Failure(Some(Box::new(Failure(None))));
        let error: &(dyn Error + 'static) = &error;
        let _span = info_span!("span", error).entered();
        info!(error, "message");
    });
    assert!(lines.contains("\"error\":\"it \\\"failed\\\"\""), "{lines}");
}

#[test]
fn keys_of_the_formatter_may_be_there_twice() {
    let lines = assert_equal(|| {
        info!(
            timestamp = 1,
            level = 2,
            target = 3,
            span = 4,
            spans = 5,
            filename = 6,
            message = 7,
            fields = 8,
            "a message"
        );
    });
    assert_eq!(lines.matches("\"level\":").count(), 2, "{lines}");
}

#[test]
fn raw_names_are_written_as_the_reference_does() {
    assert_equal(|| {
        let value = "text";
        let _span = info_span!("span", r#type = value, r#struct = ?value, r#fn = 1).entered();
        info!(r#type = value, r#struct = ?value, r#fn = 1);
    });
}

#[test]
fn spans_are_written_from_the_outermost_to_the_innermost() {
    let lines = assert_equal(|| {
        let _outer = info_span!("outer", a = 1).entered();
        let _middle = error_span!("middle").entered();
        let _inner = info_span!("inner", z = "z", b = true, a = 2).entered();
        info!(b = 1, "inside");
    });
    assert!(
        lines.contains(
            r#""span":{"a":2,"b":true,"z":"z","name":"inner"},"spans":[{"a":1,"name":"outer"},{"name":"middle"},{"a":2,"#
        ),
        "{lines}"
    );
}

#[test]
fn an_explicit_parent_is_the_span_and_not_in_the_list() {
    let lines = assert_equal(|| {
        let parent = info_span!(parent: None, "parent", a = 1);
        info!(parent: &parent, "with no current span");
        let child = info_span!(parent: &parent, "child", b = 1);
        let _other = info_span!("other").entered();
        info!(parent: &parent, "with a current span");
        info!(parent: &child, "with an ancestor");
        child.in_scope(|| info!("in the child"));
    });
    assert!(lines.lines().next().unwrap().ends_with("\"spans\":[]}"), "{lines}");
}

#[test]
fn a_root_event_is_written_with_the_current_span() {
    assert_equal(|| {
        info!(parent: None, "without any");
        let _span = info_span!("span", a = 1).entered();
        info!(parent: None, "root");
        info_span!(parent: None, "root span").in_scope(|| info!(parent: None, "root in root"));
    });
}

#[test]
fn later_records_replace_earlier_ones_and_are_sorted() {
    let lines = assert_equal(|| {
        let span = info_span!(
            "span",
            m = 1,
            z = Empty,
            a = Empty,
            text = "a, \"b\": {[",
            e = 1.0,
            n = f64::NAN
        );
        let _entered = span.enter();
        info!("before");
        span.record("a", "first").record("z", 2_u64);
        info!("after");
        span.record("a", "}second,")
            .record("m", debug(()))
            .record("text", "\\\"")
            .record("nobody", 1);
        info!("after the second time");
    });
    assert!(lines.contains(r#""a":"}second,","e":1.0,"m":"()","n":null,"#), "{lines}");
}

#[test]
fn a_record_may_be_the_first_field() {
    assert_equal(|| {
        let span = info_span!("span", a = Empty);
        let _entered = span.enter();
        info!("before");
        span.record("a", 1);
        info!("after");
    });
}

#[test]
fn a_field_that_is_called_name_is_kept_beside_the_name_of_the_span() {
    let lines = assert_equal(|| {
        let _span = info_span!("span", name = "field", z = 1).entered();
        info!(name = "event");
    });
    assert!(lines.contains(r#""span":{"name":"field","z":1,"name":"span"}"#), "{lines}");
}

#[test]
fn records_of_log_have_the_target_of_the_record() {
    // Another test of this process may have set it.
    let _ = LogTracer::init();
    let lines = assert_equal(|| {
        let _span = info_span!("span", a = 1, log.a = ?1, log.b = 2).entered();
        log::info!(target: "the target", "a {}", "message");
        log::log!(log::Level::Error, "another");
        info!(log.a = ?1, log.b = 2, "with fields of that name");
    });
    assert!(lines.contains("\"target\":\"the target\",\"span\""), "{lines}");
}

#[test]
fn a_line_may_have_many_fields_and_any_length() {
    let long = "long \" ".repeat(5_000);
    assert_equal(|| {
        let _span = info_span!("span", long).entered();
        info!(
            a = 1,
            b = 2,
            c = 3,
            d = 4,
            e = 5,
            f = 6,
            g = 7,
            h = 8,
            i = 9,
            j = 10,
            k = 11,
            l = 12,
            m = 13,
            n = 14,
            o = 15,
            p = 16,
            q = 17,
            r = 18,
            s = 19,
            t = 20,
            u = 21,
            v = 22,
            w = 23,
            x = 24,
            y = 25,
            z = 26,
            long,
        );
        info!("short");
    });
}
