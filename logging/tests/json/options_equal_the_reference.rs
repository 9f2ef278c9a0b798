//! Each option has the effect that it has in tracing-subscriber.

use std::fmt;
use std::thread;

use tonic_logging_layer::json::{self, JsonEvents, JsonFields};
use tracing::{Subscriber, info, info_span};
use tracing_log::{LogTracer, log};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::format::{FmtSpan, Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Layer as _, registry};

use crate::support::{FixedTime, Sink, assert_equal_with, lines_of, ours, reference};

type Options<F> = fn(F) -> F;

fn in_and_out_of_a_span() {
    let _ = LogTracer::init();
    info!(a = 1, "outside");
    log::warn!("a record");
    let parent = info_span!("parent", b = 1);
    info!(parent: &parent, "with a parent");
    let _span = parent.entered();
    let _span = info_span!("child", c = 1).entered();
    info!("inside");
    info!(parent: None, "root");
}

#[test]
fn options_alone_and_together() {
    type Reference = Format<Json, FixedTime>;
    let options: [(Options<Reference>, Options<JsonEvents<FixedTime>>); 9] = [
        (|f| f.with_level(false), |f| f.with_level(false)),
        (|f| f.with_target(false), |f| f.with_target(false)),
        (|f| f.with_file(true), |f| f.with_file(true)),
        (|f| f.with_line_number(true), |f| f.with_line_number(true)),
        (|f| f.with_current_span(false), |f| f.with_current_span(false)),
        (|f| f.with_span_list(false), |f| f.with_span_list(false)),
        (|f| f.with_thread_names(true), |f| f.with_thread_names(true)),
        (|f| f.with_thread_ids(true), |f| f.with_thread_ids(true)),
        (|f| f, |f| f),
    ];
    for (one, our_one) in options {
        for (other, our_other) in options {
            assert_equal_with(
                reference().map_event_format(one).map_event_format(other),
                ours().map_event_format(our_one).map_event_format(our_other),
                in_and_out_of_a_span,
            );
        }
    }
}

#[test]
fn a_thread_may_have_no_name() {
    let in_a_thread = || {
        // `thread::spawn` gives no name.
        let dispatch = tracing::dispatcher::get_default(Clone::clone);
        let inside = move || tracing::dispatcher::with_default(&dispatch, || info!("text"));
        thread::spawn(inside).join().unwrap();
    };
    let names = |ids| {
        let reference = reference().with_thread_names(true).with_thread_ids(ids);
        let ours = |json: JsonEvents<_>| json.with_thread_names(true).with_thread_ids(ids);
        lines_of(
            |sink| Box::new(reference.with_writer(sink).finish()),
            |sink| {
                Box::new(crate::support::ours().map_event_format(ours).with_writer(sink).finish())
            },
            in_a_thread,
        )
    };
    // Each thread has a number of its own.
    let key = |line: &str| {
        line.rsplit_once(',').unwrap().1.split(|c: char| c.is_numeric()).next().unwrap().to_owned()
    };
    for ids in [false, true] {
        let [expected, actual] = names(ids);
        assert_eq!(key(&actual), key(&expected));
        assert_eq!(actual.matches("thread").count(), 1);
    }
}

#[test]
fn the_time_may_be_left_out() {
    assert_equal_with(
        reference().without_time(),
        ours().map_event_format(JsonEvents::without_time),
        in_and_out_of_a_span,
    );
}

#[test]
fn a_timer_may_write_nothing() {
    assert_equal_with(
        reference().with_timer(()),
        ours().map_event_format(|json| json.with_timer(())),
        in_and_out_of_a_span,
    );
}

#[test]
fn a_timer_that_fails_costs_the_line() {
    let fails: fn(&mut Writer<'_>) -> fmt::Result = |writer| {
        writer.write_str("half")?;
        Err(fmt::Error)
    };
    let [expected, actual] = lines_of(
        |sink| Box::new(reference().with_timer(fails).with_writer(sink).finish()),
        |sink| {
            Box::new(
                ours().map_event_format(|json| json.with_timer(fails)).with_writer(sink).finish(),
            )
        },
        in_and_out_of_a_span,
    );
    assert_eq!(actual, expected);
    assert!(!actual.contains("inside"), "{actual}");
}

#[test]
fn by_default_the_time_is_that_of_tracing_subscriber() {
    let now = || {
        let mut text = String::new();
        SystemTime.format_time(&mut Writer::new(&mut text)).unwrap();
        text
    };
    let sink = Sink::default();
    let before = now();
    tracing::subscriber::with_default(
        json::subscriber().with_writer(sink.clone()).finish(),
        || info!("text"),
    );
    let after = now();
    let line: serde_json::Value = serde_json::from_str(&sink.take()).unwrap();
    let time = line["timestamp"].as_str().unwrap().to_owned();
    assert_eq!(time.len(), before.len());
    assert!(before <= time && time <= after, "{before} {time} {after}");
}

#[test]
fn events_of_spans_are_written() {
    let events = FmtSpan::NEW | FmtSpan::ENTER | FmtSpan::EXIT;
    // Only tracing-subscriber's own formatters have this setting.
    let ours = tracing_subscriber::fmt()
        .with_span_events(events.clone())
        .fmt_fields(JsonFields::new())
        .event_format(JsonEvents::new().with_timer(FixedTime));
    assert_equal_with(reference().with_span_events(events), ours, in_and_out_of_a_span);
}

#[test]
fn spans_that_a_filter_of_the_layer_hides_are_left_out() {
    let shown = || filter_fn(|metadata| !metadata.name().contains("hidden"));
    let reference = |sink| -> Box<dyn Subscriber + Send + Sync> {
        let layer =
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_timer(FixedTime);
        Box::new(
            registry().with(layer.with_writer(sink).with_filter(shown())).with(LevelFilter::TRACE),
        )
    };
    let ours = |sink| -> Box<dyn Subscriber + Send + Sync> {
        let layer = json::layer().map_event_format(|json| json.with_timer(FixedTime));
        Box::new(
            registry().with(layer.with_writer(sink).with_filter(shown())).with(LevelFilter::TRACE),
        )
    };
    let [expected, actual] = lines_of(reference, ours, || {
        let _span = info_span!("hidden outermost").entered();
        info!("in a hidden span");
        let _span = info_span!("outer", a = 1).entered();
        let _span = info_span!("hidden between").entered();
        info!("in a hidden span");
        let _span = info_span!("inner", b = 1).entered();
        info!("inside");
        let _span = info_span!("hidden").entered();
        info!("in a hidden span");
    });
    assert_eq!(actual, expected);
    assert!(actual.contains("inner") && !actual.contains("\"hidden"), "{actual}");
}
