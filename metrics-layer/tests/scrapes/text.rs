//! The text that Prometheus scrapes.

use std::collections::{BTreeMap, BTreeSet};

use tonic_metrics_layer::Names;

use crate::every_family;

/// One sample: name, labels as text, value.
type Sample<'a> = (&'a str, &'a str, f64);

/// A strict parser of Prometheus' text format 0.0.4: `HELP`, then `TYPE`, once per family and
/// before its samples, which are contiguous; names and labels of the data model; each series
/// once; the buckets of a histogram ascend, and the last one is its count.
fn parse(text: &str) -> BTreeMap<&str, (&str, Vec<Sample<'_>>)> {
    assert!(text.ends_with('\n'));
    let mut families = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut lines = text.lines().filter(|line| !line.is_empty()).peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no HELP: {line}"));
        let (family, help) = help.split_once(' ').unwrap();
        assert!(is_name(family) && !help.is_empty(), "{line}");
        let kind = lines.next().unwrap().strip_prefix("# TYPE ").unwrap();
        let kind = kind.strip_prefix(family).unwrap().strip_prefix(' ').unwrap();
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = key.split_once('{').unwrap();
            let labels = labels.strip_suffix('}').unwrap();
            read_labels(labels);
            assert!(series.insert(key), "twice: {key}");
            samples.push((name, labels, value.parse().unwrap()));
        }
        match kind {
            "counter" => assert!(family.ends_with("_total"), "{family}"),
            "gauge" => {}
            "histogram" => check_histogram(family, &samples),
            _ => panic!("{family} is a {kind}"),
        }
        if kind != "histogram" {
            assert!(samples.iter().all(|(name, ..)| *name == family), "{family}: {samples:?}");
        }
        assert!(!samples.is_empty(), "{family}");
        assert!(families.insert(family, (kind, samples)).is_none(), "twice: {family}");
    }
    families
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

fn read_labels(mut labels: &str) {
    let mut names = BTreeSet::new();
    loop {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(is_name(name) && names.insert(name), "{labels}");
        let mut end = None;
        let mut escaped = false;
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'\\' | b'n' | b'"' if escaped => escaped = false,
                _ if escaped => panic!("no escape: {rest}"),
                b'\\' => escaped = true,
                b'"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let rest = &rest[end.unwrap() + 1..];
        match rest.strip_prefix(',') {
            Some(more) => labels = more,
            None => return assert_eq!(rest, ""),
        }
    }
}

/// Asserts that each series has its buckets up to infinity, its sum and its count.
fn check_histogram(family: &str, samples: &[Sample<'_>]) {
    let mut samples = samples.iter().peekable();
    while samples.peek().is_some() {
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        let mut of = None;
        while let Some((_, labels, value)) =
            samples.next_if(|(name, ..)| name.strip_suffix("_bucket") == Some(family))
        {
            let (labels, le) = labels.rsplit_once(",le=\"").unwrap();
            let le: f64 = le.strip_suffix('"').unwrap().parse().unwrap();
            assert!(le > bound && *value >= count, "{family}{{{labels}}}");
            assert_eq!(*of.get_or_insert(labels), labels);
            (bound, count) = (le, *value);
        }
        assert_eq!(bound, f64::INFINITY, "{family}");
        let (name, labels, sum) = samples.next().unwrap();
        assert_eq!((*name, Some(*labels)), (&*format!("{family}_sum"), of));
        assert!(sum.is_finite());
        let (name, labels, last) = samples.next().unwrap();
        assert_eq!((*name, Some(*labels), *last), (&*format!("{family}_count"), of, count));
    }
}

#[tokio::test(start_paused = true)]
async fn every_family_is_there_and_well_formed() {
    let text = every_family::scrape(Names::Prometheus).await.unwrap();
    let families = parse(&text);
    let kinds: Vec<_> = families.iter().map(|(name, (kind, _))| (*name, *kind)).collect();
    assert_eq!(
        kinds,
        [
            ("grpc_client_handled_total", "counter"),
            ("grpc_client_handling_seconds", "histogram"),
            ("grpc_client_in_flight", "gauge"),
            ("grpc_client_msg_received_bytes", "histogram"),
            ("grpc_client_msg_received_total", "counter"),
            ("grpc_client_msg_sent_bytes", "histogram"),
            ("grpc_client_msg_sent_total", "counter"),
            ("grpc_client_started_total", "counter"),
            ("grpc_server_handled_total", "counter"),
            ("grpc_server_handling_seconds", "histogram"),
            ("grpc_server_in_flight", "gauge"),
            ("grpc_server_msg_received_bytes", "histogram"),
            ("grpc_server_msg_received_total", "counter"),
            ("grpc_server_msg_sent_bytes", "histogram"),
            ("grpc_server_msg_sent_total", "counter"),
            ("grpc_server_panics_total", "counter"),
            ("grpc_server_refused_total", "counter"),
            ("grpc_server_started_total", "counter"),
        ]
    );
    let total = |family: &str, labels: &str| -> f64 {
        let samples = families[family].1.iter();
        samples.filter(|(_, of, _)| of.contains(labels)).map(|(.., value)| value).sum()
    };
    assert_eq!(total("grpc_server_started_total", ""), 5.0);
    assert_eq!(total("grpc_server_started_total", "grpc_method=\"unknown\""), 1.0);
    assert_eq!(total("grpc_server_started_total", "tier=\"\\\"paid\\\"\""), 5.0);
    assert_eq!(total("grpc_server_refused_total", ""), 2.0);
    assert_eq!(total("grpc_server_panics_total", ""), 1.0);
    assert_eq!(total("grpc_server_in_flight", ""), 0.0);
    // The methods of the descriptor set with 17 codes and 3 tiers each; `unknown` with its only code.
    assert_eq!(families["grpc_server_handled_total"].1.len(), 5 * 17 * 3 + 1);
}

/// The lines of a histogram of one method and code: each call took 30 ms.
fn duration(name: &str, labels: &str) -> String {
    let mut text = String::new();
    for (le, count) in [
        ("0.005", 0),
        ("0.01", 0),
        ("0.025", 0),
        ("0.05", 1),
        ("0.075", 1),
        ("0.1", 1),
        ("0.25", 1),
        ("0.5", 1),
        ("0.75", 1),
        ("1", 1),
        ("2.5", 1),
        ("5", 1),
        ("7.5", 1),
        ("10", 1),
        ("+Inf", 1),
    ] {
        text += &format!("{name}_bucket{{{labels},le=\"{le}\"}} {count}\n");
    }
    text + &format!("{name}_sum{{{labels}}} 0.03\n{name}_count{{{labels}}} 1\n")
}

#[tokio::test(start_paused = true)]
async fn opentelemetry_s_names_are_these_to_the_letter() {
    for (names, code_label) in [
        (Names::OpenTelemetry, "rpc_response_status_code"),
        (Names::OpenTelemetryNext, "rpc_status_code"),
    ] {
        let text = every_family::scrape(names).await.unwrap();
        let families = parse(&text);
        let kinds: Vec<_> = families.keys().copied().collect();
        assert_eq!(
            kinds,
            [
                "grpc_client_in_flight",
                "grpc_client_msg_received_bytes",
                "grpc_client_msg_sent_bytes",
                "grpc_server_in_flight",
                "grpc_server_msg_received_bytes",
                "grpc_server_msg_sent_bytes",
                "grpc_server_panics_total",
                "grpc_server_refused_total",
                "rpc_client_call_duration_seconds",
                "rpc_server_call_duration_seconds",
            ]
        );

        // A client registers only the methods that it calls, so this is the exact text of the family.
        let block = text.split("\n\n").find(|block| block.contains("rpc_client_call_duration"));
        let name = "rpc_client_call_duration_seconds";
        let mut expected = format!(
            "# HELP {name} Time from the start of an RPC to its end on the client.\n\
             # TYPE {name} histogram\n"
        );
        let mut samples = Vec::new();
        for (method, code) in [
            ("test.v1.Kinds/ServerStream", "OK"),
            ("test.v1.Kinds/ServerStream", "INTERNAL"),
            ("test.v1.Kinds/Unary", "UNAUTHENTICATED"),
            ("test.v1.Kinds/Unary", "INTERNAL"),
            ("scan/env", "UNAUTHENTICATED"),
        ] {
            let error = match code {
                "OK" => String::new(),
                code => format!(",error_type=\"{code}\""),
            };
            let labels = format!(
                "rpc_system_name=\"grpc\",rpc_method=\"{method}\",region=\"eu-north-1\",\
                 tier=\"\\\"paid\\\"\",{code_label}=\"{code}\"{error}"
            );
            samples.push(duration(name, &labels));
        }
        let block = format!("{}\n", block.unwrap().trim_end());
        assert!(block.starts_with(&expected), "{block}");
        for sample in &samples {
            assert!(block.contains(sample.as_str()), "no\n{sample}in\n{block}");
        }
        expected.extend(samples);
        assert_eq!(block.len(), expected.len(), "and nothing else: {block}");

        // On a server, an error that the caller causes is not a failure, and all unknown methods have one name.
        for labels in [
            format!(
                "rpc_system_name=\"grpc\",rpc_method=\"_OTHER\",region=\"eu-north-1\",\
                 tier=\"\\\"paid\\\"\",{code_label}=\"UNAUTHENTICATED\""
            ),
            format!(
                "rpc_system_name=\"grpc\",rpc_method=\"test.v1.Kinds/ServerStream\",\
                 region=\"eu-north-1\",tier=\"\\\"paid\\\"\",{code_label}=\"INTERNAL\",\
                 error_type=\"INTERNAL\""
            ),
        ] {
            let sample = duration("rpc_server_call_duration_seconds", &labels);
            assert!(text.contains(&sample), "no\n{sample}");
        }
    }
}
