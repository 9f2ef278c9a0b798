//! The series of one method.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Label, Level, Metadata, Recorder};
use tonic::Code;
use tonic_call::{Batch, CODES, Flow, Message, Protocol, Refusal, Side};

use crate::by_code::ByCode;
use crate::families::{Families, Family, PANICS, REFUSED};
use crate::label_sets::LabelSets;
use crate::method::MethodLabels;
use crate::names::Names;
use crate::refused::Refused;
use crate::settings::Settings;
use crate::variant::Variant;

static METADATA: Metadata<'static> =
    Metadata::new("tonic_metrics_layer", Level::INFO, Some("tonic_metrics_layer"));

/// The handles of one method, for one [`Variant`].
///
/// With thousands of methods, what a call costs is what it fetches from memory. So the handles that each call uses
/// come first and are registered one after the other, because recorders allocate the memory of a series when it is
/// registered. Other handles are requested when they are first used.
#[repr(C)]
pub(crate) struct Series {
    pub(crate) started: Counter,
    pub(crate) in_flight: Gauge,
    requests: Counter,
    responses: Counter,
    ended: Ended,
    bytes: Option<Box<Bytes>>,
    /// `pkg.Svc/Method`; `None` for all unknown methods.
    method: Option<Box<str>>,

    settings: Arc<Settings>,
    labels: LabelSets,
    protocol: Protocol,
    panics: OnceLock<Counter>,
    refused: Refused,
}

/// Sizes of messages.
struct Bytes {
    requests: Histogram,
    responses: Histogram,
}

/// Finished calls.
enum Ended {
    Prometheus { handled: ByCode<Counter>, handling: Histogram },
    OpenTelemetry { duration: ByCode<Histogram> },
}

impl Series {
    /// Registers what each call uses.
    pub(crate) fn register(
        recorder: &dyn Recorder,
        settings: &Arc<Settings>,
        method: &MethodLabels<'_>,
        variant: Variant,
    ) -> Self {
        let labels = method.label_sets(settings, variant);
        let families = Families::of(settings.side);
        let by_prometheus = settings.names == Names::Prometheus;
        let counter = |family: &Family| match by_prometheus {
            true => recorder.register_counter(&labels.key(family), &METADATA),
            false => Counter::noop(),
        };
        let histogram =
            |family: &Family| recorder.register_histogram(&labels.key(family), &METADATA);
        let received = (&families.received, &families.received_bytes);
        let sent = (&families.sent, &families.sent_bytes);
        let (requests, responses) = match settings.side {
            Side::Server => (received, sent),
            Side::Client => (sent, received),
        };
        let bytes = || Bytes { requests: histogram(requests.1), responses: histogram(responses.1) };
        Self {
            started: counter(&families.started),
            in_flight: recorder.register_gauge(&labels.key(&families.in_flight), &METADATA),
            requests: counter(requests.0),
            responses: counter(responses.0),
            ended: match settings.names {
                Names::Prometheus => Ended::Prometheus {
                    handled: ByCode::default(),
                    handling: histogram(&families.handling),
                },
                Names::OpenTelemetry | Names::OpenTelemetryNext => {
                    Ended::OpenTelemetry { duration: ByCode::default() }
                }
            },
            bytes: settings.message_bytes.then(|| Box::new(bytes())),
            method: method.full().map(Into::into),
            settings: Arc::clone(settings),
            protocol: variant.protocol,
            panics: OnceLock::new(),
            refused: Refused::default(),
            labels,
        }
    }

    /// Registers the code that most calls end with, and keeps its handle.
    pub(crate) fn register_ok(&self, recorder: &dyn Recorder) {
        match &self.ended {
            Ended::Prometheus { handled, .. } => {
                handled.get_or_register(Code::Ok, || Some(self.handled(recorder, Code::Ok)));
            }
            Ended::OpenTelemetry { duration } => {
                duration.get_or_register(Code::Ok, || Some(self.duration(recorder, Code::Ok)));
            }
        }
    }

    /// Registers the other codes and the panics at zero, without handles: most methods never use most of them.
    pub(crate) fn register_rest(&self, recorder: &dyn Recorder) {
        for code in CODES.into_iter().filter(|&code| code != Code::Ok) {
            match &self.ended {
                Ended::Prometheus { .. } => drop(self.handled(recorder, code)),
                Ended::OpenTelemetry { .. } => drop(self.duration(recorder, code)),
            }
        }
        if self.settings.side == Side::Server {
            drop(self.panics(recorder));
        }
    }

    /// Registers the panics at zero, and keeps their handle.
    pub(crate) fn register_panics(&self, recorder: &dyn Recorder) {
        if self.settings.side == Side::Server {
            self.panics.get_or_init(|| self.panics(recorder));
        }
    }

    /// Whether these are the series of this method, `pkg.Svc/Method`; `None` is any unknown method.
    pub(crate) fn is_of(&self, method: Option<&str>) -> bool {
        self.method.as_deref() == method
    }

    pub(crate) fn message(&self, flow: Flow, message: Message) {
        let Some(bytes) = &self.bytes else { return };
        match flow {
            Flow::Request => bytes.requests.record(message.len),
            Flow::Response => bytes.responses.record(message.len),
        }
    }

    pub(crate) fn batch(&self, flow: Flow, batch: Batch) {
        match flow {
            Flow::Request => self.requests.increment(batch.messages),
            Flow::Response => self.responses.increment(batch.messages),
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

    pub(crate) fn panicked(&self) {
        if self.panics.get().is_none() {
            self.settings.recorder.with(|recorder| self.register_panics(recorder));
        }
        if let Some(panics) = self.panics.get() {
            panics.increment(1);
        }
    }

    pub(crate) fn refuse(&self, refusal: &Refusal) {
        self.refused.count(refusal, |labels| {
            let key = self.labels.key_with(&REFUSED, labels);
            self.settings.recorder.with(|recorder| recorder.register_counter(&key, &METADATA))
        });
    }

    fn panics(&self, recorder: &dyn Recorder) -> Counter {
        recorder.register_counter(&self.labels.key(&PANICS), &METADATA)
    }

    fn handled(&self, recorder: &dyn Recorder, code: Code) -> Counter {
        let family = &Families::of(self.settings.side).handled;
        let key = self.labels.key_of_code(family, code, self.settings.code_label(code));
        recorder.register_counter(&key, &METADATA)
    }

    fn duration(&self, recorder: &dyn Recorder, code: Code) -> Histogram {
        let Settings { names, side, .. } = &*self.settings;
        let name = self.protocol.code_name(code);
        let failure =
            side.counts_as_failure(code).then(|| Label::from_static_parts("error_type", name));
        let code = Label::from_static_parts(names.code_label(), name);
        let family = &Families::of(*side).duration;
        let key = self.labels.key_with(family, [code].into_iter().chain(failure));
        recorder.register_histogram(&key, &METADATA)
    }
}
