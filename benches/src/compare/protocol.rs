//! What this process asks a worker, and what the worker answers: one line of JSON each.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::subject::Call;

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// One message in each direction.
    Unary,
    /// One request message, a hundred response messages.
    Stream,
}

/// The number of messages of a stream.
pub(super) const MESSAGES: f64 = 100.0;

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Unary, Self::Stream];

    pub(super) fn call(self) -> Call {
        match self {
            Self::Unary => Call::Unary,
            Self::Stream => Call::Stream,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream of 100 messages",
        }
    }

    /// The name of this kind as an argument.
    pub(super) fn argument(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
        }
    }
}

/// A question. The comment names the type of the answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "snake_case")]
pub(super) enum Question {
    /// Lets handlers of unary calls repeat their work this often. [`Done`].
    Work { loops: u32 },
    /// Sets up the state in which the next calls in process are made. [`Prepared`].
    Prepare(State),
    /// The time of calls in process, of the bare service and of the subject. [`Times`].
    InProcess { call: Kind, chunks: u32, calls: u32 },
    /// The allocations of a call in process. [`Allocations`].
    Allocations { call: Kind },
    /// Calls over loopback, while the server and the client share one thread. [`Loads`].
    Together { call: Kind, calls: u32 },
    /// Calls over loopback to a server on a thread of its own. [`Load`]; the processor time is that of the server.
    Apart { call: Kind, calls: u32 },
}

/// The state in which calls are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "count", rename_all = "snake_case")]
pub(super) enum State {
    /// A few methods, one caller, no other calls.
    Plain,
    /// This many methods are called in turn.
    Methods(u32),
    /// Callers with this many addresses call in turn.
    Keys(u32),
    /// This many streams are open.
    Streams(u32),
}

/// The answer to what has no result.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Done {}

/// The answer to [`Question::Prepare`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// The bytes that the layers hold for each open stream, if there are any.
    pub(super) bytes_per_stream: Option<f64>,
}

/// Nanoseconds of one call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Times {
    /// Of the bare service.
    pub(super) bare: f64,
    /// What the layers add.
    pub(super) added: f64,
}

/// What the layers add to one call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Allocations {
    /// Allocations.
    pub(super) count: f64,
    /// Bytes.
    pub(super) bytes: f64,
}

/// Many calls at once over loopback.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Load {
    /// Processor time of one call in microseconds.
    pub(super) cpu: f64,
    /// The median of the latency in microseconds.
    pub(super) p50: f64,
    /// The 99th percentile of the latency in microseconds.
    pub(super) p99: f64,
}

/// The same calls of the bare service and of the subject.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Loads {
    /// Of the bare service.
    pub(super) bare: Load,
    /// Of the subject.
    pub(super) subject: Load,
}

/// What was allocated while a function ran.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    /// The number of allocations.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The bytes that were not freed, less what was freed of earlier allocations.
    pub kept: i64,
}
