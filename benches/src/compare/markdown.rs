//! The page with all results.

use super::plan::WORK;
use super::protocol::State;
use super::results::{KindResults, Results, RowResults};
use super::rows::{self, Group};
use super::statistics::Quartiles;
use super::table::{Table, number};

/// The whole page.
pub(super) fn page(results: &Results) -> String {
    let command = "cargo run --release -p tonic-layers-benches --bin compare > benches/RESULTS.md";
    let quick = if results.quick {
        "\n**Measured with `--quick`: the figures mean little.**\n"
    } else {
        ""
    };
    let left_out: String =
        results.left_out.iter().map(|line| format!("- Left out: {line}\n")).collect();
    format!(
        "# What the layers cost\n\n```sh\n{command}\n```\n\n{} It took {} s.\n{quick}\n{NOTES}{left_out}\n\
        ## In process\n\n{}\n## Over loopback\n\n{}\n## Growth\n\n{}",
        results.machine.sentence(),
        results.seconds,
        in_process(&results.rows),
        end_to_end(&results.rows),
        growth(&results.rows),
    )
}

const NOTES: &str = "\
- Figures are medians over rounds, with quartiles in parentheses. Each round measures every row once, each beside the bare
  service in the same process. Each call has a token.
- \"Of peers\" compares what a layer adds with what the crate adds that one would use instead, a stack with all six of them
  in one stack: tower-http's catch-panic and trace for gRPC, tonic_prometheus_layer, tonic-tracing-opentelemetry,
  tower_governor, and a tonic interceptor with jsonwebtoken. Lines are JSON and discarded, spans are not exported.
- In process nothing is sent: what is added to a call of the service that answers at once, and to a call whose handler works
  for 50 µs. A message is one of a stream of 100 that are ready at once.
- Over loopback, 64 calls at once share one connection. \"Of bare\" is throughput per core, client and server counted
  together, which share a thread. Server CPU and latency are those of a server that has a thread of its own. grpc-go, with
  one processor, is compared with bare grpc-go.
";

fn median(value: Option<Quartiles>, digits: usize) -> String {
    value.map(|value| number(value.median, digits)).unwrap_or_default()
}

fn spread(value: Option<Quartiles>, digits: usize) -> String {
    let text = |value: Quartiles| {
        let [low, median, high] =
            [value.low, value.median, value.high].map(|value| number(value, digits));
        format!("{median} ({low}–{high})")
    };
    value.map(text).unwrap_or_default()
}

fn plain(value: Option<f64>, digits: usize) -> String {
    value.map(|value| number(value, digits)).unwrap_or_default()
}

/// What is added to the bare service; of that itself, its time.
fn in_process(rows: &[RowResults]) -> String {
    let mut table = Table::new([
        "one call, added".to_owned(),
        "unary, ns".to_owned(),
        "of peers".to_owned(),
        "allocations".to_owned(),
        "bytes".to_owned(),
        "instructions".to_owned(),
        format!("around {WORK} µs, ns"),
        "stream, ns".to_owned(),
        "of peers".to_owned(),
        "a message, ns".to_owned(),
        "stream, allocations".to_owned(),
        "instructions".to_owned(),
    ]);
    for row in rows.iter().filter(|row| row.group.is_some() && row.group != Some(Group::Part)) {
        if row.group == Some(Group::Bare) {
            let bare = |kind: &KindResults| spread(kind.bare_ns, 0);
            let blank = String::new;
            let name = format!("{}: the whole call", row.name);
            table.row([
                name,
                bare(&row.unary),
                blank(),
                blank(),
                blank(),
                blank(),
                bare(&row.working),
                bare(&row.stream),
            ]);
            continue;
        }
        table.row([
            row.name.clone(),
            spread(row.unary.added_ns, 0),
            median(row.unary.of_peers, 2),
            plain(row.unary.allocations, 1),
            plain(row.unary.bytes, 0),
            plain(row.unary.instructions, 0),
            median(row.working.added_ns, 0),
            spread(row.stream.added_ns, 0),
            median(row.stream.of_peers, 2),
            plain(row.ns_per_message, 1),
            plain(row.stream.allocations, 1),
            plain(row.stream.instructions, 0),
        ]);
    }
    let alone: Option<Vec<f64>> = rows
        .iter()
        .filter(|row| row.group == Some(Group::Peer))
        .map(|row| row.unary.added_ns.map(|added| added.median))
        .collect();
    let sum = alone.filter(|alone| alone.len() == 6).map(|alone| alone.iter().sum::<f64>());
    let sum = sum.map(|sum| {
        format!("\nThe six peers, each measured alone, add {} ns in total.\n", number(sum, 0))
    });
    table.without_empty_columns().to_string() + &sum.unwrap_or_default()
}

fn end_to_end(rows: &[RowResults]) -> String {
    let mut table = Table::new([
        "64 calls at once".to_owned(),
        "unary, of bare".to_owned(),
        "CPU, µs".to_owned(),
        "server CPU, µs".to_owned(),
        "p50, µs".to_owned(),
        "p99, µs".to_owned(),
        format!("around {WORK} µs, of bare"),
        "stream, of bare".to_owned(),
        "CPU, µs".to_owned(),
        "server CPU, µs".to_owned(),
        "p50, µs".to_owned(),
        "p99, µs".to_owned(),
    ]);
    for row in rows.iter().filter(|row| row.group != Some(Group::Part)) {
        let common = |kind: &KindResults| {
            [
                spread(kind.of_bare, 2),
                median(kind.cpu_us, 1),
                median(kind.server_cpu_us, 1),
                median(kind.p50_us, 0),
                median(kind.p99_us, 0),
            ]
        };
        let working = spread(row.working.of_bare, 3);
        let cells = [row.name.clone()].into_iter().chain(common(&row.unary));
        table.row(cells.chain([working]).chain(common(&row.stream)));
    }
    table.without_empty_columns().to_string()
}

/// The count of a state, if the state is of this kind.
type CountOf = fn(&State) -> Option<u32>;

fn growth(rows: &[RowResults]) -> String {
    let kinds: [(&str, CountOf); 3] = [
        ("methods, all called in turn", |state| match state {
            State::Methods(count) => Some(*count),
            _ => None,
        }),
        ("callers' addresses", |state| match state {
            State::Keys(count) => Some(*count),
            _ => None,
        }),
        ("open streams", |state| match state {
            State::Streams(count) => Some(*count),
            _ => None,
        }),
    ];
    let mut tables = String::new();
    for (title, count) in kinds {
        let of = |row: &RowResults| -> Vec<(u32, String, Option<f64>, Option<f64>)> {
            let grown = row.growth.iter().filter_map(|grown| Some((count(&grown.state)?, grown)));
            grown
                .map(|(at, grown)| {
                    (at, spread(grown.added_ns, 0), grown.of_first, grown.bytes_per_stream)
                })
                .collect()
        };
        let Some(first) = rows.iter().map(of).find(|grown| !grown.is_empty()) else { continue };
        let counts = first.iter().map(|(count, ..)| number(f64::from(*count), 0));
        let head = [format!("{title}: a unary call, added ns")].into_iter().chain(counts);
        let mut table =
            Table::new(head.chain(["last of first".to_owned(), "KB per stream".to_owned()]));
        for row in rows {
            let grown = of(row);
            let Some((.., ratio, bytes)) = grown.last().cloned() else { continue };
            let cells =
                [row.name.clone()].into_iter().chain(grown.into_iter().map(|(_, added, ..)| added));
            table.row(cells.chain([plain(ratio, 2), plain(bytes.map(|bytes| bytes / 1e3), 2)]));
        }
        tables += &format!("{}\n", table.without_empty_columns());
    }
    tables + &layers(rows)
}

/// The stack as it grows.
fn layers(rows: &[RowResults]) -> String {
    let mut table =
        Table::new(["layers: one call, added", "unary, ns", "stream, ns", "allocations"]);
    let last =
        rows.iter().find(|row| row.name == rows::FIRST).map(|row| ("6 layers: and logging", row));
    let parts =
        rows.iter().filter(|row| row.group == Some(Group::Part)).map(|row| (&*row.name, row));
    let rows: Vec<_> = parts.chain(last).collect();
    if rows.len() < 2 {
        return String::new();
    }
    for (name, row) in rows {
        table.row([
            name.to_owned(),
            spread(row.unary.added_ns, 0),
            spread(row.stream.added_ns, 0),
            plain(row.unary.allocations, 1),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::results::GrowthResults;
    use super::*;

    const NINE: Quartiles = Quartiles { low: 8_900.0, median: 9_000.0, high: 12_345.0 };

    fn results() -> Results {
        let mut full = RowResults::new(rows::FIRST, Some(Group::Stack));
        full.unary = KindResults { added_ns: Some(NINE), ..KindResults::default() };
        full.growth = vec![GrowthResults {
            state: State::Streams(10_000),
            added_ns: None,
            of_first: None,
            bytes_per_stream: Some(2_500.0),
        }];
        let left_out = vec!["instructions: valgrind does not run.".to_owned()];
        Results { machine: Machine::here(), quick: true, seconds: 7, left_out, rows: vec![full] }
    }

    #[test]
    fn a_figure_has_its_quartiles_beside_it() {
        assert!(page(&results()).contains("| 9000 (8900–12,345) |"));
    }

    #[test]
    fn what_was_left_out_is_listed_and_has_no_column() {
        let page = page(&results());
        assert!(page.contains("- Left out: instructions: valgrind does not run.\n"), "{page}");
        assert!(!page.contains("| instructions |"), "{page}");
    }

    #[test]
    fn a_quick_run_is_marked() {
        assert!(page(&results()).contains("`--quick`"));
        assert!(!page(&Results { quick: false, ..results() }).contains("`--quick`"));
    }

    #[test]
    fn memory_of_open_streams_is_in_kilobytes() {
        let page = page(&results());
        assert!(page.contains("KB per stream") && page.contains(" 2.50 |"), "{page}");
    }
}
