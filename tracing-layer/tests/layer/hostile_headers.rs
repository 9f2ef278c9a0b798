//! Trace headers of callers: a valid trace is continued, an invalid one is replaced by a new trace, and the forwarded
//! headers are well formed and bounded. The expected results come from a model that shares no code with
//! the layer.

use std::collections::{BTreeMap, HashSet};
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, HeaderValue, Request};
use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::SpanId;
use opentelemetry_sdk::trace::{Sampler, SpanData};
use proptest::prelude::*;
use tonic::Status;
use tonic::body::Body;
use tonic_tracing_layer::current_trace_id;
use tower::{Layer as _, Service as _, service_fn};

use crate::common::*;

// Actual results.

/// The trace of a request in a server's handler, and in the request of a client that the handler calls.
struct Hop {
    server: SpanData,
    client: SpanData,
    /// The baggage in the handler: value and properties of each key.
    baggage: Baggage,
    /// The headers of the client's request.
    sent: HeaderMap,
}

type Baggage = BTreeMap<String, (String, String)>;

type Member = (String, (String, String));

/// Header values of a caller: any bytes that HTTP allows.
type Values = Vec<Vec<u8>>;

fn hop(traces: &Traces, sent: &[(&'static str, &[Vec<u8>])]) -> Hop {
    let (headers, baggage) = <(Arc<Mutex<HeaderMap>>, Arc<Mutex<Baggage>>)>::default();
    let keeps = Arc::clone(&headers);
    let next = service_fn(move |request: Request<Body>| {
        *keeps.lock().unwrap() = request.headers().clone();
        ready(Ok::<_, Status>(trailers_only(&Status::ok(""))))
    });
    let client = traces.client().layer(next);
    let keeps = Arc::clone(&baggage);
    let handler = service_fn(move |_: Request<Body>| {
        assert!(current_trace_id().is_some());
        *keeps.lock().unwrap() = Context::map_current(baggage_of);
        client.clone().call(to("/a.B/Next"))
    });
    let mut request = to("/a.B/First");
    for (name, values) in sent {
        for value in *values {
            let value = HeaderValue::from_bytes(value).expect("a header");
            request.headers_mut().append(*name, value);
        }
    }
    let mut call = pin!(run(traces.server().layer(handler), request));
    while poll_once(call.as_mut()).is_pending() {}
    assert!(Context::map_current(|context| context.baggage().is_empty()));
    assert_eq!(current_trace_id(), None);

    // A trailers-only response ends both spans, the inner one first.
    let [client, server] = <[SpanData; 2]>::try_from(traces.take()).unwrap();
    let hop = Hop {
        server,
        client,
        baggage: baggage.lock().unwrap().clone(),
        sent: headers.lock().unwrap().clone(),
    };
    assert_eq!(hop.client.parent_span_id, hop.server.span_context.span_id());
    assert_eq!(trace_id(&hop.client), trace_id(&hop.server));
    hop
}

/// Samples every span, whatever the caller sends.
fn traces() -> Traces {
    Traces::sampled_by(Sampler::AlwaysOn)
}

fn baggage_of(context: &Context) -> Baggage {
    let member =
        |(key, (value, properties)): (_, &(_, _))| (text(key), (text(value), text(properties)));
    fn text(text: &impl ToString) -> String {
        text.to_string()
    }
    context.baggage().iter().map(member).collect()
}

/// The value of a forwarded header. Asserts that the header occurs at most once.
#[track_caller]
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let value = all.next().map(|value| value.to_str().expect("text"));
    assert_eq!(all.next(), None, "{name} stands twice");
    value
}

// The model.

/// The caller's trace, span and flags.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parent {
    trace: String,
    span: String,
    flags: u8,
}

/// W3C Trace Context, "traceparent header field values".
fn right_parent(values: &[Vec<u8>]) -> Option<Parent> {
    let [value] = values else { return None };
    let text = std::str::from_utf8(value).ok()?;
    let mut fields = text.splitn(5, '-');
    let mut hex = |length| {
        let field = fields.next()?;
        let is_hex = field.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        (field.len() == length && is_hex).then(|| field.to_owned())
    };
    let [version, trace, span, flags] = [hex(2)?, hex(32)?, hex(16)?, hex(2)?];
    let has_more = fields.next().is_some();
    let is_zero = |id: &str| id.chars().all(|c| c == '0');
    if version == "ff" || version == "00" && has_more || is_zero(&trace) || is_zero(&span) {
        return None;
    }
    let known = if version == "00" { 0b11 } else { 0b01 };
    Some(Parent { trace, span, flags: u8::from_str_radix(&flags, 16).unwrap() & known })
}

/// The header values that are text; others are dropped.
fn texts_of(values: &[Vec<u8>]) -> impl Iterator<Item = &str> {
    let is_text = |value: &&Vec<u8>| value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    values.iter().filter(is_text).map(|value| std::str::from_utf8(value).unwrap())
}

fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// "tracestate header field values": whether an entry is valid.
fn is_entry(entry: &str) -> bool {
    let mut parts = entry.split('=');
    let (Some(key), Some(value), None) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let mut letters = key.chars();
    letters.next().is_some_and(|c| matches!(c, 'a'..='z' | '0'..='9'))
        && letters.all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '*' | '/' | '@'))
        && key.len() <= 256
        && (1..=256).contains(&value.len())
        && value.chars().all(|c| matches!(c, ' '..='~') && c != ',')
        && !value.ends_with(' ')
}

/// The forwarded entries: well formed, the first one of each key, up to the limits.
fn right_state(values: &[Vec<u8>]) -> Vec<String> {
    let mut keys = HashSet::new();
    let mut entries: Vec<_> = texts_of(values)
        .flat_map(|list| list.split(','))
        .map(trimmed)
        .filter(|entry| is_entry(entry))
        .filter(|entry| keys.insert(entry.split('=').next().unwrap()))
        .map(str::to_owned)
        .take(32)
        .collect();
    while entries.join(",").len() > 512 {
        let (at, _) = entries
            .iter()
            .enumerate()
            .max_by_key(|(at, entry)| (entry.len() > 128, *at))
            .expect("something that is too long");
        entries.remove(at);
    }
    entries
}

/// The OpenTelemetry library is stricter about keys with a tenant, and then drops the whole list.
fn is_odd(entry: &str) -> bool {
    let key = entry.split('=').next().unwrap();
    let Some((_, system)) = key.split_once('@') else { return false };
    let starts_well = system.starts_with(|c: char| c.is_ascii_alphanumeric());
    system.contains('@') || system.len() > 13 || !(system.is_empty() || starts_well)
}

fn is_token(text: &str) -> bool {
    let is_one = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(is_one)
}

/// W3C Baggage, "Header Content".
fn is_value(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '!'..='~') && !"\",;\\".contains(c))
}

fn is_property(text: &str) -> bool {
    match text.split_once('=') {
        Some((key, value)) => is_token(trimmed(key)) && is_value(trimmed(value)),
        None => is_token(trimmed(text)),
    }
}

/// A valid member: key, value, and its valid properties.
fn member(text: &str) -> Option<Member> {
    let (pair, properties) = text.split_once(';').unwrap_or((text, ""));
    let (key, value) = pair.split_once('=')?;
    let (key, value) = (trimmed(key), trimmed(value));
    let properties = properties.split(';').map(trimmed).filter(|property| is_property(property));
    (is_token(key) && is_value(value)).then(|| {
        let properties = properties.collect::<Vec<_>>().join(";");
        (key.to_owned(), (decoded(value), properties))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let is_hex = |digits: &&str| digits.chars().all(|c| c.is_ascii_hexdigit());
        match digits.filter(is_hex) {
            Some(digits) if byte == b'%' => {
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &behind[2..];
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All members of all headers, and whether they are within the limits.
fn right_baggage(values: &[Vec<u8>]) -> (Vec<Member>, bool) {
    let members: Vec<_> =
        texts_of(values).flat_map(|list| list.split(',')).filter_map(member).collect();
    let bytes: usize = texts_of(values).map(|list| list.len() + 1).sum();
    let within = members.len() <= 64 && bytes <= 8_192;
    (members, within)
}

/// Asserts that the forwarded headers are well formed and bounded.
#[track_caller]
fn assert_well_formed(sent: &HeaderMap) {
    let parent = one(sent, "traceparent").expect("a parent");
    assert_eq!(parent.len(), 55);
    let values = [parent.as_bytes().to_vec()];
    let read = right_parent(&values).expect("a good parent");
    assert_eq!(parent, format!("00-{}-{}-{:02x}", read.trace, read.span, read.flags));

    if let Some(state) = one(sent, "tracestate") {
        assert!((1..=512).contains(&state.len()), "{state}");
        let mut keys = HashSet::new();
        for entry in state.split(',') {
            assert!(is_entry(entry), "{entry:?} in {state:?}");
            assert!(keys.insert(entry.split('=').next()), "{entry:?} stands twice in {state:?}");
        }
        assert!(keys.len() <= 32, "{state}");
    }

    if let Some(baggage) = one(sent, "baggage") {
        assert!((1..=8_192).contains(&baggage.len()), "{baggage}");
        assert!(baggage.split(',').count() <= 64, "{baggage}");
        for text in baggage.split(',') {
            assert!(member(text).is_some(), "{text:?} in {baggage:?}");
            let mut properties = text.split(';').skip(1);
            assert!(properties.all(is_property), "{text:?} in {baggage:?}");
        }
    }
}

/// Asserts the expected trace of a request with these headers, in the handler and in the client's request.
#[track_caller]
fn assert_right(traces: &Traces, parents: &[Vec<u8>], states: &[Vec<u8>], baggage: &[Vec<u8>]) {
    let names = ["traceparent", "tracestate", "baggage"];
    let Hop { server, client, baggage: seen, sent } =
        hop(traces, &[(names[0], parents), (names[1], states), (names[2], baggage)]);
    assert_well_formed(&sent);

    let flags = match right_parent(parents) {
        Some(parent) => {
            assert_eq!(trace_id(&server), parent.trace);
            assert_eq!(server.parent_span_id.to_string(), parent.span);
            assert!(server.parent_span_is_remote);
            let right = right_state(states);
            let passed_on = one(&sent, "tracestate").unwrap_or_default();
            let refused = passed_on.is_empty() && right.iter().any(|entry| is_odd(entry));
            assert!(refused || passed_on == right.join(","), "{passed_on:?}, not {right:?}");
            parent.flags | 1
        }
        None => {
            assert_eq!(server.parent_span_id, SpanId::INVALID);
            assert_eq!(one(&sent, "tracestate"), None);
            1
        }
    };
    let parent = format!("00-{}-{}-{flags:02x}", trace_id(&client), span_id(&client));
    assert_eq!(one(&sent, "traceparent"), Some(&*parent));

    let (right, within_limits) = right_baggage(baggage);
    if within_limits {
        assert_eq!(seen, right.iter().cloned().collect());
    } else {
        assert!(seen.iter().all(|(key, value)| right.contains(&(key.clone(), value.clone()))));
    }
    let passed_on = one(&sent, "baggage").unwrap_or_default();
    let passed_on: Baggage = passed_on.split(',').filter_map(member).collect();
    for (key, value) in &passed_on {
        assert_eq!(seen.get(key), Some(value));
    }
    let encoded = |(key, (value, more)): (&String, &(String, String))| {
        key.len() + 3 * value.len() + more.len() + 3
    };
    if seen.iter().map(encoded).sum::<usize>() <= 8_192 {
        assert_eq!(passed_on.len(), seen.len());
    }
}

// Generated headers.

/// Any value that HTTP allows in a header.
fn any_value(length: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![9 => b' '..=b'~', 1 => 0x80..=0xff_u8, 1 => Just(b'\t')];
    prop::collection::vec(byte, 0..=length)
}

fn good_parent() -> impl Strategy<Value = String> {
    ("(00|00|00|01|cc|fe|ff)", "[0-9a-f]{32}", "[0-9a-f]{16}", "(00|01|02|03|[0-9a-f]{2})")
        .prop_map(|(version, trace, span, flags)| format!("{version}-{trace}-{span}-{flags}"))
}

fn parent() -> impl Strategy<Value = Vec<u8>> {
    let nearly = (good_parent(), 0..8_u8, any::<prop::sample::Index>(), b' '..=b'~').prop_map(
        |(good, what, at, byte)| {
            let mut bytes = good.into_bytes();
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => _ = bytes.remove(at),
                3 => bytes.truncate(at),
                4 => bytes.make_ascii_uppercase(),
                5 => bytes[3..35].fill(b'0'),
                6 => bytes[36..52].fill(b'0'),
                _ => bytes.extend([b'-', byte]),
            }
            bytes
        },
    );
    prop_oneof![
        4 => good_parent().prop_map(String::into_bytes),
        4 => nearly,
        1 => "[0-9a-f-]{50,60}".prop_map(String::into_bytes),
        1 => any_value(80),
        1 => any_value(20_000),
    ]
}

fn state() -> impl Strategy<Value = Vec<u8>> {
    let entry = prop_oneof![
        8 => "[a-z0-9][a-z0-9_*/-]{0,12}=[!-+.-<>-~]{1,20}",
        2 => "[a-z]{1,3}=[!-+.-<>-~]{1,3}",
        1 => "[a-z0-9]{1,5}@[a-z0-9]{1,12}=[!-+.-<>-~]{1,20}",
        1 => "[a-z@]{1,20}=[a-z]{1,5}",
        1 => "[a-z]{1,5}=[a-z]{100,140}",
        1 => "[a-z]{1,5}=[a-z]{240,260}",
        1 => "[a-z]{250,260}=x",
        1 => "[ -~\t]{0,12}",
    ];
    list(entry, 0..45)
}

fn baggage() -> impl Strategy<Value = Vec<u8>> {
    let member = prop_oneof![
        8 => "[a-z0-9!#$%&'*+.^_`|~-]{1,8}=[!#-+.-:<-\\[\\]-~-]{0,12}",
        2 => "[a-z]{1,2}[ \t]?=[ \t]?(%[0-9a-fA-F]{2}){1,4}[ \t]?",
        2 => "[a-z]{1,8}=[a-z0-9]{0,5}(;[a-z]{1,3}(=[a-z0-9]{1,3})?){1,3}",
        1 => "[a-z]{1,3}=[a-z]{0,3};[ -~]{0,12}",
        1 => "[a-z]{1,3}=(%20){100,900}",
        1 => "[a-z]{1,3}=[a-z]{500,3000}",
        2 => "[ -~\t]{0,12}",
    ];
    list(member, 0..80)
}

fn list(
    member: impl Strategy<Value = String>,
    members: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<u8>> {
    let comma = prop_oneof![4 => Just(","), 1 => Just(", "), 1 => Just("\t,\t"), 1 => Just(",,")];
    let list = (prop::collection::vec(member, members), comma);
    prop_oneof![
        12 => list.prop_map(|(members, comma)| members.join(comma).into_bytes()),
        1 => any_value(60),
        1 => any_value(20_000),
    ]
}

/// Mostly one header, sometimes none or several.
fn values(value: impl Strategy<Value = Vec<u8>> + Clone) -> impl Strategy<Value = Values> {
    prop_oneof![
        8 => prop::collection::vec(value.clone(), 1),
        3 => prop::collection::vec(value, 0..4),
    ]
}

proptest! {
    #[test]
    fn whatever_names_a_parent_is_continued_or_begins_anew(
        parents in values(parent().boxed()),
        states in values("[a-z]{1,5}=[a-z]{1,5}".prop_map(String::into_bytes)),
    ) {
        assert_right(&traces(), &parents, &states, &[]);
    }

    #[test]
    fn whatever_comes_as_a_state_is_sent_on_well_formed_and_bounded(
        states in values(state().boxed()),
    ) {
        assert_right(&traces(), &[TRACEPARENT.into()], &states, &[]);
    }

    #[test]
    fn whatever_comes_as_baggage_is_sent_on_well_formed_and_bounded(
        baggage in values(baggage().boxed()),
    ) {
        assert_right(&traces(), &[], &[], &baggage);
    }

    #[test]
    fn one_header_does_not_spoil_the_other(
        parents in values(parent().boxed()),
        states in values(state().boxed()),
        baggage in values(baggage().boxed()),
    ) {
        assert_right(&traces(), &parents, &states, &baggage);
    }
}

const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01";

#[test]
fn a_traceparent_is_taken_as_the_table_of_the_specification_says() {
    let traces = traces();
    let with = |version: &str, flags: &str| format!("{version}{}{flags}", &TRACEPARENT[2..53]);
    let good = |values: &[&str]| {
        let values: Values = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        let states = [b"vendor=1".to_vec()];
        // The model must match the table, and the layer must match the model.
        assert_right(&traces, &values, &states, &[]);
        let Hop { server, sent, .. } =
            hop(&traces, &[("traceparent", &values), ("tracestate", &states)]);
        let flags = one(&sent, "traceparent").unwrap()[53..].to_owned();
        let continued = trace_id(&server) == TRACE;
        assert_eq!(server.parent_span_id.to_string() == PARENT, continued);
        assert_eq!(one(&sent, "tracestate"), continued.then_some("vendor=1"));
        (continued, flags)
    };
    let continued = |flags: &str| (true, flags.to_owned());
    let anew = (false, "01".to_owned());

    // Known flags are kept, except that every span is sampled here; unknown flags are cleared.
    for (flags, sent) in [
        ("00", "01"),
        ("01", "01"),
        ("02", "03"),
        ("03", "03"),
        ("04", "01"),
        ("fe", "03"),
        ("ff", "03"),
    ] {
        assert_eq!(good(&[&with("00", flags)]), continued(sent), "{flags}");
    }

    // The known part of a future version is used, and forwarded as version 0.
    for version in ["01", "cc", "fe"] {
        for flags in ["00", "01", "02", "ff"] {
            assert_eq!(good(&[&with(version, flags)]), continued("01"), "{version} {flags}");
        }
        for (more, is_good) in [("-", true), ("-what-comes", true), (".", false), ("0", false)] {
            let value = with(version, "01") + more;
            assert_eq!(good(&[&value]) == continued("01"), is_good, "{value}");
        }
    }

    let (trace, span) = ("0".repeat(32), "0".repeat(16));
    for bad in [
        String::new(),
        " ".to_owned(),
        "00".to_owned(),
        with("ff", "01"),
        with("0", "01"),
        with("000", "01"),
        with("0x", "01"),
        with("  ", "01"),
        with("00", "0"),
        with("00", "0x"),
        with("00", "001"),
        with("00", "-1"),
        with("00", "+1"),
        with("00", "01-"),
        with("00", "01-more"),
        with("00", "01 "),
        with("cc", ""),
        format!(" {TRACEPARENT}"),
        format!("{TRACEPARENT},{OTHER}"),
        TRACEPARENT.to_uppercase(),
        TRACEPARENT.replace(TRACE, &TRACE.to_uppercase()),
        TRACEPARENT.replace(PARENT, &PARENT.to_uppercase()),
        with("00", "0A"),
        with("CC", "01"),
        TRACEPARENT.replace(TRACE, &trace),
        TRACEPARENT.replace(PARENT, &span),
        TRACEPARENT.replace(TRACE, &TRACE[1..]),
        TRACEPARENT.replace(PARENT, &PARENT[1..]),
        TRACEPARENT.replace(TRACE, &format!("{}+", &TRACE[1..])),
        TRACEPARENT.replace(TRACE, &format!("{}g", &TRACE[1..])),
        TRACEPARENT.replace('-', "_"),
        TRACEPARENT.replace('-', ""),
    ] {
        assert_eq!(good(&[&bad]), anew, "{bad:?}");
    }

    // If there are several headers, none is used.
    for several in
        [[TRACEPARENT, OTHER], [TRACEPARENT, TRACEPARENT], [TRACEPARENT, ""], ["", OTHER]]
    {
        assert_eq!(good(&several), anew, "{several:?}");
    }
    assert_eq!(good(&[]), anew);
}

#[test]
fn a_header_of_the_trace_that_is_no_text_does_no_harm() {
    let traces = traces();
    let bytes = |text: &str| [text.as_bytes(), b"\xff"].concat();
    let parents = [TRACEPARENT.as_bytes().to_vec()];
    for (parents, states) in [
        (vec![bytes(TRACEPARENT)], vec![b"a=1".to_vec()]),
        (parents.to_vec(), vec![bytes("a=1"), b"b=2".to_vec()]),
    ] {
        assert_right(&traces, &parents, &states, &[bytes("a=1"), b"b=2".to_vec()]);
    }
    let hop = hop(&traces, &[("traceparent", &parents), ("tracestate", &[bytes("a=1")])]);
    assert_eq!(trace_id(&hop.server), TRACE);
}

#[test]
fn more_headers_than_anyone_sends_do_no_harm() {
    let traces = traces();
    let many = |text: &str| -> Values {
        (0..2_000).map(|number| text.replace("%d", &number.to_string()).into_bytes()).collect()
    };
    let parent = [TRACEPARENT.as_bytes().to_vec()];
    assert_right(&traces, &parent, &many("k%d=v"), &many("k%d=v;p"));
    assert_right(&traces, &many(TRACEPARENT), &many("k%d=v"), &many("k%d=v;p"));
    let huge = |text: &str| vec![text.repeat(100_000).into_bytes()];
    assert_right(&traces, &huge("00-"), &huge("a=1,"), &huge("a=1,"));
    assert_right(&traces, &parent, &huge("x"), &huge("%20"));
}

/// Decoded values may become longer when they are encoded again.
#[test]
fn baggage_that_grows_on_its_way_is_bounded_all_the_same() {
    let traces = traces();
    for value in ["%", "%FF", "%20", "~"] {
        // All members are read, long and short ones.
        let value = value.repeat(700 / value.len());
        let members: Vec<_> = (0..11).map(|number| format!("k{number}={value}")).collect();
        let baggage = [[&members[..], &["short=1".to_owned()]].concat().join(",").into_bytes()];
        assert_right(&traces, &[], &[], &baggage);
        let Hop { baggage: seen, sent, .. } = hop(&traces, &[("baggage", &baggage)]);
        assert_eq!(seen.len(), 12);
        let passed_on = one(&sent, "baggage").unwrap().split(',').filter_map(member).count();
        assert!(passed_on >= 3, "{passed_on}");
    }
}
