//! The order of the rendered text.

/// Sorts families by name, and the series of each by their labels. The exporter keeps both in hash maps, so
/// their order would differ between scrapes, which then compress and compare badly.
///
/// An empty line separates families: names, labels and help texts contain none, since line feeds are escaped.
pub(super) fn sorted(text: &str) -> String {
    let mut families: Vec<&str> = text.split("\n\n").filter(|family| !family.is_empty()).collect();
    families.sort_by_key(|family| name(family));
    let mut sorted = String::with_capacity(text.len());
    for family in families {
        let (head, series): (Vec<_>, Vec<_>) =
            family.lines().partition(|line| line.starts_with('#'));
        let mut series = split(&series, name(family).filter(|_| is_in_parts(&head)));
        // By the last line: that of a histogram is its count, which has no `le` label.
        series.sort_by_key(|lines| lines.last().copied());
        for line in head.iter().chain(series.into_iter().flatten()) {
            sorted.push_str(line);
            sorted.push('\n');
        }
        sorted.push('\n');
    }
    sorted
}

/// The name in `# TYPE name type`, the line after the help text.
fn name(family: &str) -> Option<&str> {
    let kind = family.lines().find(|line| line.starts_with("# TYPE "))?;
    kind.split(' ').nth(2)
}

/// Whether each series has several lines, the last of which is its count.
fn is_in_parts(head: &[&str]) -> bool {
    head.iter().any(|line| {
        line.starts_with("# TYPE ") && (line.ends_with(" histogram") || line.ends_with(" summary"))
    })
}

/// The lines of each series, in their order: buckets ascend.
///
/// Each line is a series, unless the family is `in_parts`.
fn split<'l, 't>(lines: &'l [&'t str], in_parts: Option<&str>) -> Vec<&'l [&'t str]> {
    let is_last = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        in_parts.is_none_or(|family| name.strip_suffix("_count") == Some(family))
    };
    lines.split_inclusive(is_last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORTED: &str = "\
# HELP a_seconds How long: of b_total{x=\"1\"} 1\\n\\nand more
# TYPE a_seconds histogram
a_seconds_bucket{x=\"1\",le=\"0.5\"} 1
a_seconds_bucket{x=\"1\",le=\"10\"} 2
a_seconds_bucket{x=\"1\",le=\"+Inf\"} 2
a_seconds_sum{x=\"1\"} 9
a_seconds_count{x=\"1\"} 2
a_seconds_bucket{x=\"2\",le=\"0.5\"} 1
a_seconds_bucket{x=\"2\",le=\"10\"} 1
a_seconds_bucket{x=\"2\",le=\"+Inf\"} 1
a_seconds_sum{x=\"2\"} 0.25
a_seconds_count{x=\"2\"} 1

# TYPE b_total counter
b_total{x=\"1\",y=\"2\"} 8
b_total{x=\"1\"} 70
b_total{x=\"2\"} 9

# TYPE c gauge
c 1

";

    #[test]
    fn families_and_series_have_one_order_and_buckets_ascend() {
        assert_eq!(sorted(SORTED), SORTED);
        let mut families: Vec<&str> = SORTED.trim_end().split("\n\n").collect();
        families.reverse();
        let mut mixed = families.join("\n\n") + "\n\n";
        mixed = mixed.replace(
            "b_total{x=\"1\",y=\"2\"} 8\nb_total{x=\"1\"} 70\n",
            "b_total{x=\"1\"} 70\nb_total{x=\"1\",y=\"2\"} 8\n",
        );
        let first = SORTED.find("a_seconds_bucket{x=\"1\"").expect("there");
        let second = SORTED.find("a_seconds_bucket{x=\"2\"").expect("there");
        let first = &SORTED[first..second];
        mixed = mixed.replace(first, "");
        mixed = mixed.replace(
            "a_seconds_count{x=\"2\"} 1\n",
            &format!("a_seconds_count{{x=\"2\"}} 1\n{first}"),
        );
        assert_ne!(mixed, SORTED);
        assert_eq!(sorted(&mixed), SORTED);
        assert_eq!(sorted(""), "");
    }
}
