//! A bar chart in SVG, which follows the reader's theme.

use std::fmt::Write as _;

use super::results::{Results, RowResults};
use super::rows::Group;
use super::statistics::Quartiles;
use super::table::number;

const WIDTH: f64 = 860.0;
const NAMES: f64 = 300.0;
const VALUES: f64 = 90.0;
const LINE: f64 = 22.0;
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}\
.ours{fill:#0969da}.peers{fill:#9a6700}.range{stroke:#1f2328;stroke-width:1.5}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#58a6ff}.peers{fill:#d29922}.range{stroke:#e6edf3}}";

/// The time that is added to a unary call in process, and the share of bare throughput over loopback.
pub(super) fn svg(results: &Results) -> String {
    let mut drawing = Drawing { body: String::new(), y: 8.0 };
    drawing.chart(
        "One unary call in process: added ns, median and quartiles",
        0,
        &results.rows,
        |row| row.unary.added_ns.filter(|_| !matches!(row.group, Some(Group::Bare | Group::Part))),
    );
    drawing.chart(
        "64 calls at once over loopback: share of bare throughput",
        2,
        &results.rows,
        |row| row.unary.of_bare,
    );
    let height = drawing.y + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
        viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>What the layers cost</title>\n\
        <style>{STYLE}</style>\n{}</svg>\n",
        drawing.body
    )
}

struct Drawing {
    body: String,
    /// The lower edge of what is drawn.
    y: f64,
}

impl Drawing {
    fn chart(
        &mut self,
        title: &str,
        digits: usize,
        rows: &[RowResults],
        value: impl Fn(&RowResults) -> Option<Quartiles>,
    ) {
        let bars: Vec<_> = rows.iter().filter_map(|row| Some((row, value(row)?))).collect();
        let longest = bars.iter().map(|(_, value)| value.high).fold(f64::MIN_POSITIVE, f64::max);
        let scale = (WIDTH - NAMES - VALUES) / longest;
        self.y += LINE;
        self.text("title", 8.0, title);
        for (row, value) in bars {
            self.y += LINE;
            self.bar(row, value.map(|value| value.max(0.0) * scale), &number(value.median, digits));
        }
        self.y += LINE;
    }

    fn bar(&mut self, row: &RowResults, length: Quartiles, label: &str) {
        let class = match row.group {
            Some(Group::Layer | Group::Stack) => "ours",
            _ => "peers",
        };
        self.text("name", 8.0, &row.name);
        let (top, middle) = (self.y - 12.0, self.y - 4.5);
        let [low, high] = [length.low, length.high].map(|at| NAMES + at);
        let width = length.median;
        self.line(&format!(
            "<rect class=\"{class}\" x=\"{NAMES}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"15\" rx=\"2\"/>"
        ));
        self.line(&format!(
            "<line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>"
        ));
        self.text("value", high + 6.0, label);
    }

    fn text(&mut self, class: &str, x: f64, text: &str) {
        let y = self.y;
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.line(&format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"));
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(value: impl Fn(&RowResults) -> Option<Quartiles>, names: &[&str]) -> String {
        let rows: Vec<_> =
            names.iter().map(|name| RowResults::new(name, Some(Group::Stack))).collect();
        let mut drawing = Drawing { body: String::new(), y: 0.0 };
        drawing.chart("title", 0, &rows, value);
        drawing.body
    }

    const TEN: Quartiles = Quartiles { low: 9.0, median: 10.0, high: 12.0 };

    #[test]
    fn the_upper_quartile_of_the_longest_bar_ends_where_the_values_begin() {
        let body = chart(
            |row| Some(if row.name == "long" { TEN } else { TEN.map(|ns| ns / 2.0) }),
            &["long", "short"],
        );
        let end = format!("x2=\"{:.1}\"", WIDTH - VALUES);
        assert_eq!(body.matches(&end).count(), 1, "{body}");
    }

    #[test]
    fn rows_without_a_value_have_no_bar() {
        assert!(!chart(|_| None, &["bare"]).contains("<rect"));
    }

    #[test]
    fn names_are_text_and_no_markup() {
        let body = chart(|_| Some(TEN), &["a<b & c"]);
        assert!(body.contains("a&lt;b &amp; c"), "{body}");
    }

    #[test]
    fn what_adds_nothing_has_no_negative_width() {
        let body = chart(|_| Some(Quartiles { low: -3.0, median: -1.0, high: 2.0 }), &["noise"]);
        assert!(body.contains("width=\"0.0\"") && !body.contains("=\"-"), "{body}");
    }
}
