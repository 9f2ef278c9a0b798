//! The series of one method.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use tonic::Code;
use tonic_call::{Batch, CODES, Flow, Message, Protocol, Refusal, Side};

use crate::by_code::ByCode;
use crate::families::{Families, Family, PANICS, REFUSED};
use crate::method::MethodLabels;
use crate::names::Names;
use crate::refused::Refused;
use crate::settings::Settings;
use crate::variant::Variant;

static METADATA: Metadata<'static> =
    Metadata::new("tonic_metrics_layer", Level::INFO, Some("tonic_metrics_layer"));

/// The handles of one method, for one [`Variant`].
///
/// Handles that every call uses are registered at once; the others when they are first used.
pub(crate) struct Series {
    settings: Arc<Settings>,
    /// `pkg.Svc/Method`; `None` for all unknown methods.
    method: Option<Box<str>>,
    protocol: Protocol,
    labels: Vec<Label>,
    pub(crate) started: Counter,
    pub(crate) in_flight: Gauge,
    pub(crate) panics: Counter,
    requests: Messages,
    responses: Messages,
    ended: Ended,
    refused: Refused,
}

/// Messages in one direction. What is turned off has a handle that does nothing.
struct Messages {
    count: Counter,
    bytes: Histogram,
}

/// Finished calls.
enum Ended {
    Prometheus { handled: ByCode<Counter>, handling: Histogram },
    OpenTelemetry { duration: ByCode<Histogram> },
}

impl Series {
    pub(crate) fn register(
        recorder: &dyn Recorder,
        settings: &Arc<Settings>,
        method: &MethodLabels<'_>,
        variant: Variant,
    ) -> Self {
        let mut labels = method.labels(settings.names, variant.protocol);
        labels.extend(settings.labels.of(variant.combination));

        let families = Families::of(settings.side);
        let by_prometheus = settings.names == Names::Prometheus;
        let counter = |on: bool, family: &Family| match on {
            true => recorder.register_counter(&key(family, &labels, []), &METADATA),
            false => Counter::noop(),
        };
        let histogram = |on: bool, family: &Family| match on {
            true => recorder.register_histogram(&key(family, &labels, []), &METADATA),
            false => Histogram::noop(),
        };
        let messages = |count: &Family, bytes: &Family| Messages {
            count: counter(by_prometheus, count),
            bytes: histogram(settings.message_bytes, bytes),
        };
        let received = messages(&families.received, &families.received_bytes);
        let sent = messages(&families.sent, &families.sent_bytes);
        let (requests, responses) = match settings.side {
            Side::Server => (received, sent),
            Side::Client => (sent, received),
        };
        Self {
            started: counter(by_prometheus, &families.started),
            in_flight: recorder.register_gauge(&key(&families.in_flight, &labels, []), &METADATA),
            panics: counter(settings.side == Side::Server, &PANICS),
            requests,
            responses,
            ended: match settings.names {
                Names::Prometheus => Ended::Prometheus {
                    handled: ByCode::default(),
                    handling: histogram(true, &families.handling),
                },
                Names::OpenTelemetry | Names::OpenTelemetryNext => {
                    Ended::OpenTelemetry { duration: ByCode::default() }
                }
            },
            refused: Refused::default(),
            settings: Arc::clone(settings),
            method: method.full().map(Into::into),
            protocol: variant.protocol,
            labels,
        }
    }

    /// Registers every code at zero.
    pub(crate) fn register_codes(&self, recorder: &dyn Recorder) {
        for code in CODES {
            match &self.ended {
                Ended::Prometheus { handled, .. } => {
                    handled.get_or_register(code, || Some(self.handled(recorder, code)));
                }
                Ended::OpenTelemetry { duration } => {
                    duration.get_or_register(code, || Some(self.duration(recorder, code)));
                }
            }
        }
    }

    /// Whether these are the series of this method, `pkg.Svc/Method`; `None` is any unknown method.
    pub(crate) fn is_of(&self, method: Option<&str>) -> bool {
        self.method.as_deref() == method
    }

    pub(crate) fn message(&self, flow: Flow, message: Message) {
        self.messages(flow).bytes.record(message.len);
    }

    pub(crate) fn batch(&self, flow: Flow, batch: Batch) {
        self.messages(flow).count.increment(batch.messages);
    }

    fn messages(&self, flow: Flow) -> &Messages {
        match flow {
            Flow::Request => &self.requests,
            Flow::Response => &self.responses,
        }
    }

    pub(crate) fn end(&self, code: Code, elapsed: Duration) {
        let recorder = &self.settings.recorder;
        match &self.ended {
            Ended::Prometheus { handled, handling } => {
                let register = || recorder.with(|recorder| self.handled(recorder, code));
                if let Some(handled) = handled.get_or_register(code, register) {
                    handled.increment(1);
                }
                handling.record(elapsed);
            }
            Ended::OpenTelemetry { duration } => {
                let register = || recorder.with(|recorder| self.duration(recorder, code));
                if let Some(duration) = duration.get_or_register(code, register) {
                    duration.record(elapsed);
                }
            }
        }
    }

    pub(crate) fn refuse(&self, refusal: &Refusal) {
        self.refused.count(refusal, |labels| {
            let key = key(&REFUSED, &self.labels, labels);
            self.settings.recorder.with(|recorder| recorder.register_counter(&key, &METADATA))
        });
    }

    fn handled(&self, recorder: &dyn Recorder, code: Code) -> Counter {
        let Settings { names, spelling, side, .. } = &*self.settings;
        let code = Label::from_static_parts(names.code_label(), spelling.spell(code));
        let key = key(&Families::of(*side).handled, &self.labels, [code]);
        recorder.register_counter(&key, &METADATA)
    }

    fn duration(&self, recorder: &dyn Recorder, code: Code) -> Histogram {
        let Settings { names, side, .. } = &*self.settings;
        let name = self.protocol.code_name(code);
        let failure =
            side.counts_as_failure(code).then(|| Label::from_static_parts("error_type", name));
        let code = Label::from_static_parts(names.code_label(), name);
        let key =
            key(&Families::of(*side).duration, &self.labels, [code].into_iter().chain(failure));
        recorder.register_histogram(&key, &METADATA)
    }
}

fn key(family: &Family, labels: &[Label], more: impl IntoIterator<Item = Label>) -> Key {
    Key::from_parts(family.name, labels.iter().cloned().chain(more).collect::<Vec<_>>())
}
