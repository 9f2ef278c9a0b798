//! What is counted of connections.

use metrics::{counter, describe_counter, describe_gauge, gauge};

const OPEN: &str = "connections_open";
const CLOSED: &str = "connections_closed_total";

/// Why we closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It had no call for too long.
    Idle,
    /// It did not send its preface in time.
    Silent,
    /// It gave way to a new one.
    GaveWay,
    /// It was new, and none of the others could give way.
    Full,
}

impl Why {
    const ALL: [Self; 4] = [Self::Idle, Self::Silent, Self::GaveWay, Self::Full];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Silent => "silent",
            Self::GaveWay => "gave_way",
            Self::Full => "full",
        }
    }
}

/// Makes them readable before something happens.
pub(super) fn begin() {
    describe_gauge!(OPEN, "Connections that are open.");
    describe_counter!(CLOSED, "Connections that this server closed, and why.");
    gauge!(OPEN).set(0.0);
    for why in Why::ALL {
        counter!(CLOSED, "reason" => why.as_str()).increment(0);
    }
}

pub(super) fn closed(why: Why) {
    counter!(CLOSED, "reason" => why.as_str()).increment(1);
}

pub(super) fn open(connections: usize) {
    gauge!(OPEN).set(connections as f64);
}
