use serde::Serialize;

use super::machine::Machine;
use super::protocol::{Load, Loads, MESSAGES, State, Times};
use super::rounds::Measured;
use super::rows::{self, Group};
use super::samples::{Grown, OfKind, Samples};
use super::statistics::{Quartiles, median};

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    /// Whether it was only tried out.
    pub(super) quick: bool,
    pub(super) seconds: u64,
    /// What was left out, and why.
    pub(super) left_out: Vec<String>,
    pub(super) rows: Vec<RowResults>,
}

/// The results of a row.
#[derive(Debug, Default, Serialize)]
pub(super) struct RowResults {
    pub(super) name: String,
    /// `None` for other programs.
    pub(super) group: Option<Group>,
    pub(super) unary: KindResults,
    pub(super) stream: KindResults,
    /// Unary calls around a handler that works for 50 µs.
    pub(super) working: KindResults,
    /// Nanoseconds that the layers add to a message of a stream.
    pub(super) ns_per_message: Option<f64>,
    pub(super) growth: Vec<GrowthResults>,
}

impl RowResults {
    /// A row without results.
    #[cfg(test)]
    pub(super) fn new(name: &str, group: Option<Group>) -> Self {
        Self { name: name.to_owned(), group, ..Self::default() }
    }
}

/// The results of one kind of call.
#[derive(Debug, Default, Serialize)]
pub(super) struct KindResults {
    /// Nanoseconds of a call of the bare service in process.
    pub(super) bare_ns: Option<Quartiles>,
    pub(super) added_ns: Option<Quartiles>,
    /// What is added, as a share of what the peers add: of the one that does the same, or of all.
    pub(super) of_peers: Option<Quartiles>,
    pub(super) allocations: Option<f64>,
    pub(super) bytes: Option<f64>,
    /// Instructions that the layers add.
    pub(super) instructions: Option<f64>,
    /// The share of bare throughput over loopback: client and server have one core.
    pub(super) of_bare: Option<Quartiles>,
    /// Microseconds of that core for a call.
    pub(super) cpu_us: Option<Quartiles>,
    /// Microseconds of the server's core for a call, when it has one of its own; and latency then.
    pub(super) server_cpu_us: Option<Quartiles>,
    pub(super) p50_us: Option<Quartiles>,
    pub(super) p99_us: Option<Quartiles>,
}

#[derive(Debug, Serialize)]
pub(super) struct GrowthResults {
    #[serde(flatten)]
    pub(super) state: State,
    pub(super) added_ns: Option<Quartiles>,
    /// What is added, compared with what is added in the first of these states.
    pub(super) of_first: Option<f64>,
    pub(super) bytes_per_stream: Option<f64>,
}

/// The results of all rows, and of other programs.
pub(super) fn of(measured: &[Measured], others: &[(&'static str, &Samples)]) -> Vec<RowResults> {
    let instructions = |of: fn(&Samples) -> &OfKind| {
        let bare = measured.iter().find(|row| row.row.name == rows::BARE);
        bare.and_then(|bare| of(&bare.samples).instructions)
    };
    let bare = [instructions(|of| &of.unary), instructions(|of| &of.stream), None];
    let mut results: Vec<_> = measured
        .iter()
        .map(|row| {
            let beside = match row.row.group {
                Group::Layer | Group::Stack | Group::Peers => row.row.beside,
                Group::Bare | Group::Peer | Group::Part => "",
            };
            let peer = measured.iter().find(|other| other.row.name == beside);
            of_row(
                row.row.name,
                Some(row.row.group),
                &row.samples,
                peer.map(|peer| &peer.samples),
                bare,
            )
        })
        .collect();
    results
        .extend(others.iter().map(|(name, samples)| of_row(name, None, samples, None, [None; 3])));
    results
}

fn of_row(
    name: &str,
    group: Option<Group>,
    samples: &Samples,
    peer: Option<&Samples>,
    bare: [Option<f64>; 3],
) -> RowResults {
    let [unary, stream, working] = [
        of_kind(&samples.unary, peer.map(|peer| &peer.unary), bare[0]),
        of_kind(&samples.stream, peer.map(|peer| &peer.stream), bare[1]),
        of_kind(&samples.working, peer.map(|peer| &peer.working), bare[2]),
    ];
    let per_message = unary.added_ns.zip(stream.added_ns);
    let ns_per_message =
        per_message.map(|(unary, stream)| (stream.median - unary.median) / MESSAGES);
    let growth = of_growth(&samples.growth);
    RowResults { name: name.to_owned(), group, unary, stream, working, ns_per_message, growth }
}

fn of_kind(samples: &OfKind, peer: Option<&OfKind>, bare: Option<f64>) -> KindResults {
    let times = |of: fn(&Times) -> f64| Quartiles::of(samples.times.iter().map(of));
    let pairs = peer.map(|peer| samples.times.iter().zip(&peer.times)).into_iter().flatten();
    let loads = |of: fn(&Loads) -> f64| Quartiles::of(samples.together.iter().map(of));
    let apart = |of: fn(&Load) -> f64| Quartiles::of(samples.apart.iter().map(of));
    KindResults {
        bare_ns: times(|times| times.bare),
        added_ns: times(|times| times.added),
        of_peers: Quartiles::of(pairs.map(|(ours, peer)| ours.added / peer.added)),
        allocations: samples.allocations.map(|allocations| allocations.count),
        bytes: samples.allocations.map(|allocations| allocations.bytes),
        instructions: samples.instructions.zip(bare).map(|(count, bare)| count - bare),
        of_bare: loads(|loads| loads.bare.cpu / loads.subject.cpu),
        cpu_us: loads(|loads| loads.subject.cpu),
        server_cpu_us: apart(|load| load.cpu),
        p50_us: apart(|load| load.p50),
        p99_us: apart(|load| load.p99),
    }
}

fn of_growth(grown: &[Grown]) -> Vec<GrowthResults> {
    let added = |grown: &Grown| median(grown.times.iter().map(|times| times.added));
    let alike =
        |one: State, other: State| std::mem::discriminant(&one) == std::mem::discriminant(&other);
    let results = grown.iter().map(|now| {
        let first = grown.iter().find(|first| alike(first.state, now.state));
        GrowthResults {
            state: now.state,
            added_ns: Quartiles::of(now.times.iter().map(|times| times.added)),
            of_first: added(now).zip(first.and_then(added)).map(|(now, first)| now / first),
            bytes_per_stream: now.bytes_per_stream,
        }
    });
    results.collect()
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Allocations;
    use super::*;

    fn samples(added: &[f64]) -> OfKind {
        let times = added.iter().map(|added| Times { bare: 1_000.0, added: *added }).collect();
        OfKind { times, ..OfKind::default() }
    }

    fn load(cpu: f64) -> Load {
        Load { cpu, p50: 1.0, p99: 2.0 }
    }

    #[test]
    fn the_share_of_the_peers_is_the_median_of_the_shares_of_the_same_rounds() {
        // The machine is twice as slow in the last round, for both.
        let results =
            of_kind(&samples(&[100.0, 110.0, 200.0]), Some(&samples(&[200.0, 220.0, 400.0])), None);
        let share = results.of_peers.map(|share| (share.low, share.median, share.high));
        assert_eq!(share, Some((0.5, 0.5, 0.5)));
    }

    #[test]
    fn without_a_peer_there_is_no_share() {
        assert_eq!(of_kind(&samples(&[100.0]), None, None).of_peers, None);
    }

    #[test]
    fn throughput_of_bare_is_the_inverse_of_the_processor_time() {
        let mut samples = samples(&[]);
        samples.together.push(Loads { bare: load(12.0), subject: load(16.0) });
        let results = of_kind(&samples, None, None);
        assert_eq!(results.of_bare.map(|share| share.median), Some(0.75));
        assert_eq!(results.cpu_us.map(|cpu| cpu.median), Some(16.0));
    }

    #[test]
    fn instructions_are_those_that_are_more_than_bare() {
        let mut samples = samples(&[]);
        samples.instructions = Some(30_000.0);
        samples.allocations = Some(Allocations { count: 32.0, bytes: 4_096.0 });
        let results = of_kind(&samples, None, Some(12_000.0));
        assert_eq!((results.instructions, results.allocations), (Some(18_000.0), Some(32.0)));
        assert_eq!(of_kind(&samples, None, None).instructions, None, "bare was not counted");
    }

    #[test]
    fn growth_is_compared_with_the_first_state_of_its_kind() {
        let grown = |state, added| {
            let times = vec![Times { bare: 1_000.0, added }];
            Grown { state, times, bytes_per_stream: None }
        };
        let results = of_growth(&[
            grown(State::Methods(10), 100.0),
            grown(State::Methods(1_000), 120.0),
            grown(State::Keys(1), 50.0),
            grown(State::Keys(1_000), 75.0),
        ]);
        let of_first: Vec<_> = results.iter().map(|grown| grown.of_first).collect();
        assert_eq!(of_first, [Some(1.0), Some(1.2), Some(1.0), Some(1.5)]);
    }
}
