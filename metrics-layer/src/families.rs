//! The metric families: their names, help texts and units.

use metrics::{KeyName, Recorder, Unit};
use tonic_call::Side;

use crate::names::Names;
use crate::settings::Settings;

/// A metric family: all series of one name.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    help: &'static str,
    unit: Unit,
}

/// The families of one side.
pub(crate) struct Families {
    pub(crate) started: Family,
    pub(crate) handled: Family,
    pub(crate) handling: Family,
    pub(crate) received: Family,
    pub(crate) sent: Family,
    pub(crate) received_bytes: Family,
    pub(crate) sent_bytes: Family,
    pub(crate) in_flight: Family,
    /// OpenTelemetry's, in place of `started`, `handled`, `handling`, `received` and `sent`.
    pub(crate) duration: Family,
}

macro_rules! families {
    ($side:literal) => {
        Families {
            started: Family {
                name: concat!("grpc_", $side, "_started_total"),
                help: concat!("RPCs started on the ", $side, "."),
                unit: Unit::Count,
            },
            handled: Family {
                name: concat!("grpc_", $side, "_handled_total"),
                help: concat!("RPCs completed on the ", $side, ", by code."),
                unit: Unit::Count,
            },
            handling: Family {
                name: concat!("grpc_", $side, "_handling_seconds"),
                help: concat!("Time from the start of an RPC to its end on the ", $side, "."),
                unit: Unit::Seconds,
            },
            received: Family {
                name: concat!("grpc_", $side, "_msg_received_total"),
                help: concat!("Messages received by the ", $side, "."),
                unit: Unit::Count,
            },
            sent: Family {
                name: concat!("grpc_", $side, "_msg_sent_total"),
                help: concat!("Messages sent by the ", $side, "."),
                unit: Unit::Count,
            },
            received_bytes: Family {
                name: concat!("grpc_", $side, "_msg_received_bytes"),
                help: concat!("Sizes of the messages received by the ", $side, ", on the wire."),
                unit: Unit::Bytes,
            },
            sent_bytes: Family {
                name: concat!("grpc_", $side, "_msg_sent_bytes"),
                help: concat!("Sizes of the messages sent by the ", $side, ", on the wire."),
                unit: Unit::Bytes,
            },
            in_flight: Family {
                name: concat!("grpc_", $side, "_in_flight"),
                help: concat!("RPCs running on the ", $side, "."),
                unit: Unit::Count,
            },
            duration: Family {
                name: concat!("rpc_", $side, "_call_duration_seconds"),
                help: concat!("Time from the start of an RPC to its end on the ", $side, "."),
                unit: Unit::Seconds,
            },
        }
    };
}

static SERVER: Families = families!("server");
static CLIENT: Families = families!("client");

/// Only on servers: on a client the layers inside report nothing.
pub(crate) static REFUSED: Family = Family {
    name: "grpc_server_refused_total",
    help: "RPCs that a layer refused, or would have refused (shadow), by layer and reason.",
    unit: Unit::Count,
};

/// Only on servers, like [`REFUSED`].
pub(crate) static PANICS: Family = Family {
    name: "grpc_server_panics_total",
    help: "RPCs in which a panic occurred, recovered or not.",
    unit: Unit::Count,
};

impl Families {
    pub(crate) fn of(side: Side) -> &'static Self {
        match side {
            Side::Server => &SERVER,
            Side::Client => &CLIENT,
        }
    }
}

impl Family {
    pub(crate) fn describe_counter(&self, recorder: &dyn Recorder) {
        recorder.describe_counter(self.key(), Some(self.unit), self.help.into());
    }

    fn describe_gauge(&self, recorder: &dyn Recorder) {
        recorder.describe_gauge(self.key(), Some(self.unit), self.help.into());
    }

    fn describe_histogram(&self, recorder: &dyn Recorder) {
        recorder.describe_histogram(self.key(), Some(self.unit), self.help.into());
    }

    fn key(&self) -> KeyName {
        KeyName::from_const_str(self.name)
    }
}

/// Describes the families of these settings to a recorder.
pub(crate) fn describe(recorder: &dyn Recorder, settings: &Settings) {
    let families = Families::of(settings.side);
    match settings.names {
        Names::Prometheus => {
            for family in [&families.started, &families.handled, &families.received, &families.sent]
            {
                family.describe_counter(recorder);
            }
            families.handling.describe_histogram(recorder);
        }
        Names::OpenTelemetry | Names::OpenTelemetryNext => {
            families.duration.describe_histogram(recorder);
        }
    }
    families.in_flight.describe_gauge(recorder);
    if settings.message_bytes {
        families.received_bytes.describe_histogram(recorder);
        families.sent_bytes.describe_histogram(recorder);
    }
    if settings.side == Side::Server {
        REFUSED.describe_counter(recorder);
        PANICS.describe_counter(recorder);
    }
}
