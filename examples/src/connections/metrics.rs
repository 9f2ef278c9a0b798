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
    /// It reached its age.
    Aged,
}

impl CloseReason {
    const ALL: [Self; 5] = [Self::Idle, Self::NoPreface, Self::MadeRoom, Self::Full, Self::Aged];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::NoPreface => "silent",
            Self::MadeRoom => "gave_way",
            Self::Full => "full",
            Self::Aged => "aged",
        }
    }
}

/// Whether the connections of a listener are counted: one listener per process is.
#[derive(Clone, Copy, Debug)]
pub(super) enum ConnectionMetrics {
    Counted,
    Uncounted,
}

impl ConnectionMetrics {
    /// Describes the metrics and sets them to 0.
    pub(super) fn describe(self) {
        if matches!(self, Self::Uncounted) {
            return;
        }
        describe_gauge!(OPEN, "Open connections.");
        describe_counter!(CLOSED, "Connections that the server closed, by reason.");
        gauge!(OPEN).set(0.0);
        for reason in CloseReason::ALL {
            counter!(CLOSED, "reason" => reason.as_str()).increment(0);
        }
    }

    pub(super) fn closed(self, reason: CloseReason) {
        if matches!(self, Self::Counted) {
            counter!(CLOSED, "reason" => reason.as_str()).increment(1);
        }
    }

    pub(super) fn open(self, connections: usize) {
        if matches!(self, Self::Counted) {
            gauge!(OPEN).set(connections as f64);
        }
    }
}
