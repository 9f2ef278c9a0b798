//! What distinguishes the series of one method from each other.

use http::request;
use tonic_call::{Protocol, Side};

use crate::labels::Labels;
use crate::names::Names;
use crate::settings::Settings;

/// The series of a method that a call counts in.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    /// [`Connect`](Protocol::Connect) if the names distinguish it, otherwise [`Grpc`](Protocol::Grpc).
    pub(crate) protocol: Protocol,
    /// The index of the combination of the extra labels.
    pub(crate) combination: usize,
}

impl Variant {
    /// The variant of a call.
    pub(crate) fn of(settings: &Settings, head: &request::Parts) -> Self {
        let Settings { side, names, labels, .. } = settings;
        let protocol = if names.distinguish_connect(*side) || labels.has_protocol() {
            Protocol::of_call(*side, head)
        } else {
            Protocol::Grpc
        };
        Self {
            protocol: names.distinguished(*side, protocol),
            combination: labels.combination_of(protocol, head),
        }
    }

    /// The variants that are registered before the first call: all combinations of the extra labels. Connect is
    /// only among them if a label declares it, because most servers do not speak it.
    pub(crate) fn declared(settings: &Settings) -> impl Iterator<Item = Self> {
        let Settings { side, names, labels, .. } = settings;
        (0..labels.combinations()).map(|combination| {
            let protocol = labels.protocol_of(combination).unwrap_or_default();
            Self { protocol: names.distinguished(*side, protocol), combination }
        })
    }

    /// The number of variants.
    pub(crate) fn count(names: Names, side: Side, labels: &Labels) -> usize {
        let protocols = if names.distinguish_connect(side) { 2 } else { 1 };
        protocols * labels.combinations()
    }

    /// The number of this variant, below their [count](Self::count).
    pub(crate) fn index(self, labels: &Labels) -> usize {
        match self.protocol {
            Protocol::Connect => labels.combinations() + self.combination,
            _ => self.combination,
        }
    }
}
