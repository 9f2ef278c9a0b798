use super::protocol::{Kind, State};
use super::rows::{Group, Row};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Rounds in process; each asks every row once.
    pub(super) in_process: u32,
    /// Rounds over loopback.
    pub(super) end_to_end: u32,
    /// Rounds of each state that grows.
    pub(super) growth: u32,
    /// Chunks of calls in each round in process.
    chunks: u32,
    /// Calls of each caller in each round over loopback.
    calls: u32,
    pub(super) methods: &'static [u32],
    pub(super) keys: &'static [u32],
    pub(super) streams: &'static [u32],
}

/// The number of concurrent calls over loopback, over one connection.
pub(super) const AT_ONCE: u32 = 64;

/// The processor time of a handler that works, in microseconds.
pub(super) const WORK: u32 = 50;

impl Plan {
    pub(super) const FULL: Self = Self {
        in_process: 40,
        end_to_end: 15,
        growth: 10,
        chunks: 8,
        calls: 20,
        methods: &[10, 100, 1_000, 10_000],
        keys: &[1, 1_000, 100_000, 1_000_000],
        streams: &[1, 100, 10_000],
    };

    /// Enough to see that everything works.
    pub(super) const QUICK: Self = Self {
        in_process: 2,
        end_to_end: 1,
        growth: 1,
        chunks: 1,
        calls: 4,
        methods: &[10, 100],
        keys: &[1, 100],
        streams: &[1, 100],
    };

    /// Chunks in a round in process, and calls in a chunk.
    pub(super) fn chunks(&self, call: Kind, works: bool) -> (u32, u32) {
        match (call, works) {
            (Kind::Unary, false) => (self.chunks, 64),
            (Kind::Unary, true) => (self.chunks, 8),
            (Kind::Stream, _) => (self.chunks, 32),
        }
    }

    /// Calls in a round over loopback.
    pub(super) fn calls(&self, call: Kind, works: bool) -> u32 {
        let each = match (call, works) {
            (Kind::Unary, false) => self.calls,
            (Kind::Unary, true) => self.calls / 2,
            (Kind::Stream, _) => self.calls / 4,
        };
        each * AT_ONCE
    }

    /// The states that grow, in groups.
    pub(super) fn states(&self) -> [Vec<State>; 3] {
        let of =
            |counts: &[u32], state: fn(u32) -> State| counts.iter().map(|at| state(*at)).collect();
        [
            of(self.methods, State::Methods),
            of(self.keys, State::Keys),
            of(self.streams, State::Streams),
        ]
    }
}

/// Whether a row is measured in states of this kind.
pub(super) fn grows(row: &Row, state: State) -> bool {
    match (row.group, state) {
        (_, State::Plain) | (Group::Bare | Group::Part, _) => false,
        (Group::Stack | Group::Peers, _) => true,
        (Group::Layer | Group::Peer, State::Methods(_)) => row.keeps_methods(),
        (Group::Layer | Group::Peer, State::Keys(_)) => row.keeps_keys(),
        (Group::Layer | Group::Peer, State::Streams(_)) => false,
    }
}
