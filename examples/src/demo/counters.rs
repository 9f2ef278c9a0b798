//! Shows which metrics of the server and of the client the calls have changed, and by how much.

use std::collections::BTreeMap;

use tonic::codegen::http::Request;
use tonic_metrics_layer::exporter::Scrape;

use super::http;
use super::screen::{Look, Tone};

/// A family of counters, and the labels that are shown; the others are summed up.
const SHOWN: [(&str, &[&str]); 4] = [
    ("grpc_server_handled_total", &["grpc_method", "grpc_code"]),
    ("grpc_server_refused_total", &["refused_by", "reason"]),
    ("grpc_server_panics_total", &["grpc_method"]),
    ("grpc_client_attempts_total", &["outcome", "grpc_status"]),
];

/// The samples of a scrape.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<(String, f64)>);

impl Samples {
    /// Scrapes the metrics of the server at this address, and those of the client.
    pub(super) async fn scrape(address: &str, client: &Scrape) -> Result<Self, String> {
        let request = Request::get("/metrics").header("host", address).body(String::new());
        let (status, text) =
            http::send(address, request.map_err(|error| error.to_string())?).await?;
        if !status.is_success() {
            return Err(format!("/metrics answers {status}"));
        }
        Ok(Self::parse(&(text + &client.render())))
    }

    fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(samples.filter_map(sample).collect())
    }

    /// The sums of a family by the values of these labels.
    fn sums(&self, family: &str, labels: &[&str]) -> BTreeMap<Vec<String>, f64> {
        let mut sums = BTreeMap::new();
        for (name, value) in &self.0 {
            let Some(set) = name.strip_prefix(family).and_then(|set| set.strip_prefix('{')) else {
                continue;
            };
            let values = labels.iter().map(|label| label_of(set, label));
            *sums.entry(values.collect()).or_default() += value;
        }
        sums
    }

    /// What has been added since `before`, by family.
    pub(super) fn since(&self, before: &Self, look: Look) -> Vec<String> {
        let mut lines = Vec::new();
        for (family, labels) in SHOWN {
            let (before, after) = (before.sums(family, labels), self.sums(family, labels));
            let added = after.into_iter().map(|(values, sum)| {
                let added = sum - before.get(&values).copied().unwrap_or_default();
                (values, added)
            });
            let added: Vec<_> = added.filter(|(_, added)| *added > 0.0).collect();
            if !added.is_empty() {
                lines.push(family.to_owned());
            }
            for (values, added) in added {
                let values: Vec<_> =
                    values.into_iter().map(|value| format!("{value:<22}")).collect();
                let values = look.paint(Tone::Dim, &format!("{:<48}", values.join("  ")));
                lines.push(format!("    {values}{:>6}", format!("+{added}")));
            }
        }
        lines
    }
}

/// The value of a label in `name="value",…}`. The values that are shown contain no quotes.
fn label_of(set: &str, label: &str) -> String {
    let mut labels = set.split(',').filter_map(|pair| pair.split_once("=\""));
    let found = labels.find(|(name, _)| *name == label);
    found.map_or("", |(_, value)| value.trim_end_matches(['"', '}'])).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_calls_have_added_is_summed_up_by_the_labels_that_are_shown() {
        let before =
            Samples::parse("# TYPE\ngrpc_server_panics_total{grpc_method=\"A\",x=\"1\"} 2\n");
        let after = Samples::parse(
            "grpc_server_panics_total{grpc_method=\"A\",x=\"1\"} 3\n\
             grpc_server_panics_total{x=\"2\",grpc_method=\"A\"} 4\n\
             grpc_server_panics_total{grpc_method=\"B\"} 0\n\
             other_total{grpc_method=\"A\"} 9\n",
        );
        let lines = after.since(&before, Look::Plain);
        let words: Vec<Vec<_>> =
            lines.iter().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [vec!["grpc_server_panics_total"], vec!["A", "+5"]]);
    }
}
