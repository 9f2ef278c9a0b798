//! What was measured.

use super::protocol::{Allocations, Kind, Load, Loads, State, Times};

/// One value for each round.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub(super) unary: OfKind,
    pub(super) stream: OfKind,
    /// Unary calls whose handler works.
    pub(super) working: OfKind,
    pub(super) growth: Vec<Grown>,
}

/// The samples of one kind of call.
#[derive(Debug, Default)]
pub(super) struct OfKind {
    pub(super) times: Vec<Times>,
    pub(super) allocations: Option<Allocations>,
    pub(super) instructions: Option<f64>,
    pub(super) together: Vec<Loads>,
    pub(super) apart: Vec<Load>,
}

/// The samples of unary calls in one state.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) state: State,
    pub(super) times: Vec<Times>,
    pub(super) bytes_per_stream: Option<f64>,
}

impl Samples {
    pub(super) fn of(&mut self, call: Kind) -> &mut OfKind {
        match call {
            Kind::Unary => &mut self.unary,
            Kind::Stream => &mut self.stream,
        }
    }
}
