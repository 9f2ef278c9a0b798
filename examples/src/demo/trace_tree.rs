//! Shows a trace as a tree of spans with their durations.

use opentelemetry_proto::tonic::trace::v1::Span;

use super::screen::{Look, Tone};
use super::spans::{Received, attribute};

/// Width of the bar that shows when a span was, in characters.
const BAR: u64 = 20;

/// Each span as a line: its place in the tree, its duration, and a bar.
pub(super) fn show(spans: &[Received], look: Look, width: usize) -> Vec<String> {
    let mut sorted: Vec<_> = spans.iter().collect();
    sorted.sort_by_key(|received| received.span.start_time_unix_nano);
    let start = sorted.first().map_or(0, |received| received.span.start_time_unix_nano);
    let end = spans.iter().map(|received| received.span.end_time_unix_nano).max().unwrap_or(start);
    let tree = Tree { spans: sorted, look, width, start, length: (end - start).max(1) };
    let mut lines = Vec::new();
    let is_root =
        |span: &Span| !spans.iter().any(|other| other.span.span_id == span.parent_span_id);
    for root in tree.spans.iter().filter(|received| is_root(&received.span)) {
        tree.add(root, ["", ""], &mut lines);
    }
    lines
}

struct Tree<'a> {
    spans: Vec<&'a Received>,
    look: Look,
    width: usize,
    start: u64,
    length: u64,
}

impl Tree<'_> {
    /// Adds a span and those below it. The prefixes are of its line, and of the lines below it.
    fn add(&self, received: &Received, [prefix, below]: [&str; 2], lines: &mut Vec<String>) {
        lines.push(self.line(received, prefix));
        let id = &received.span.span_id;
        let children: Vec<_> =
            self.spans.iter().filter(|other| other.span.parent_span_id == *id).collect();
        let [branch, last_branch, beside, nothing] = self.look.branches();
        for (number, child) in (1..).zip(&children) {
            let (branch, beside) =
                if number == children.len() { (last_branch, nothing) } else { (branch, beside) };
            self.add(child, [&format!("{below}{branch}"), &format!("{below}{beside}")], lines);
        }
    }

    fn line(&self, received: &Received, prefix: &str) -> String {
        let Received { service, span } = received;
        let code = attribute(&span.attributes, "rpc.response.status_code");
        let tone = if code == "OK" { Tone::Good } else { Tone::Bad };
        let name = span.name.rsplit('/').next().unwrap_or_default();
        let text = format!("{prefix}{service} {name} ");
        let end = format!("{:>9}  {}", duration(span), self.bar(span));
        let space =
            self.width.saturating_sub(text.chars().count() + code.len() + 10 + 2 + BAR as usize);
        format!("{text}{}{:space$}{end}", self.look.paint(tone, &code), "")
    }

    /// At least one character, at the place that belongs to its start.
    fn bar(&self, span: &Span) -> String {
        let at = |time: u64| (time - self.start) * BAR / self.length;
        let start = at(span.start_time_unix_nano).min(BAR - 1);
        let end = at(span.end_time_unix_nano).clamp(start + 1, BAR);
        let before = " ".repeat(start as usize);
        format!("{before}{}", self.look.bar().repeat((end - start) as usize))
    }
}

fn duration(span: &Span) -> String {
    let nanos = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
    format!("{:.1} ms", nanos as f64 / 1e6)
}
