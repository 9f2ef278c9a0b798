//! Metrics of connections.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const OPEN: &str = "connections_open";
const CLOSED: &str = "connections_closed_total";

/// Why the server closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// It had no call for the idle timeout.
    Idle,
    /// It did not send its preface in time.
    NoPreface,
    /// It was closed to make room for a new one.
    MadeRoom,
    /// It was new, and no other connection could be closed.
    Full,
}

impl CloseReason {
    const ALL: [Self; 4] = [Self::Idle, Self::NoPreface, Self::MadeRoom, Self::Full];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::NoPreface => "silent",
            Self::MadeRoom => "gave_way",
            Self::Full => "full",
        }
    }
}

/// Describes the metrics and sets them to 0.
pub(super) fn describe() {
    describe_gauge!(OPEN, "Open connections.");
    describe_counter!(CLOSED, "Connections that the server closed, by reason.");
    gauge!(OPEN).set(0.0);
    for reason in CloseReason::ALL {
        counter!(CLOSED, "reason" => reason.as_str()).increment(0);
    }
}

pub(super) fn closed(reason: CloseReason) {
    counter!(CLOSED, "reason" => reason.as_str()).increment(1);
}

pub(super) fn open(connections: usize) {
    gauge!(OPEN).set(connections as f64);
}
