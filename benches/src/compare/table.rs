use std::fmt;

/// A table in Markdown, aligned for readers of its source.
#[derive(Debug)]
pub(super) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { head: head.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row; cells that are missing at its end are empty.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> =
            cells.into_iter().map(|cell| cell.replace('|', "\\|")).collect();
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    /// Leaves out the columns, but the first, that have nothing in any row.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let filled = |at: usize| at == 0 || self.rows.iter().any(|row| !row[at].is_empty());
        let keep: Vec<bool> = (0..self.head.len()).map(filled).collect();
        for row in std::iter::once(&mut self.head).chain(&mut self.rows) {
            let mut keep = keep.iter();
            row.retain(|_| keep.next().copied().unwrap_or(false));
        }
        self
    }

    fn widths(&self) -> Vec<usize> {
        let cells = |at: usize| {
            let column = std::iter::once(&self.head).chain(&self.rows).map(move |row| &row[at]);
            column.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        (0..self.head.len()).map(cells).collect()
    }
}

/// The first column is aligned to the left, the others to the right.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let mut line = |cells: &[String]| {
            for (at, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                match at {
                    0 => write!(f, "| {cell:<width$} |")?,
                    _ => write!(f, " {cell:>width$} |")?,
                }
            }
            writeln!(f)
        };
        line(&self.head)?;
        let rule = |(at, width): (usize, &usize)| match at {
            0 => "-".repeat(*width),
            _ => "-".repeat(width - 1) + ":",
        };
        line(&widths.iter().enumerate().map(rule).collect::<Vec<_>>())?;
        self.rows.iter().try_for_each(|row| line(row))
    }
}

/// A number, with commas between thousands from 10,000 on.
pub(super) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').map_or((&*text, None), |(a, b)| (a, Some(b)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    if whole.len() < 5 {
        // Not "-0".
        let zero = value == 0.0 || text.trim_matches(['-', '0', '.']).is_empty();
        return if zero { text.trim_start_matches('-').to_owned() } else { text };
    }
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["", "ns", "share"]);
        table.row(row(&["bare", "1,000", ""]));
        table.row(row(&["a layer", "7", "0.5"]));
        let expected = "\
|         |    ns | share |
| ------- | ----: | ----: |
| bare    | 1,000 |       |
| a layer |     7 |   0.5 |
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_column_without_cells_is_left_out_with_its_head() {
        let mut table = Table::new(["", "instructions", "ns"]);
        table.row(row(&["bare", "", "7"]));
        let text = table.without_empty_columns().to_string();
        assert!(!text.contains("instructions") && text.contains("ns"), "{text}");
    }

    #[test]
    fn a_row_may_end_early() {
        let mut table = Table::new(["", "ns", "bytes"]);
        table.row(row(&["bare"]));
        assert!(table.to_string().ends_with("| bare |     |       |\n"), "{table}");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it() {
        let mut table = Table::new(["name"]);
        table.row(row(&["a|b"]));
        assert!(table.to_string().contains(r"a\|b"), "{table}");
    }

    #[test]
    fn thousands_have_commas_from_five_digits_on() {
        assert_eq!(number(9_999.4, 0), "9999");
        assert_eq!(number(12_345.0, 0), "12,345");
        assert_eq!(number(-1_234_567.0, 0), "-1,234,567");
        assert_eq!(number(12_345.67, 1), "12,345.7");
    }

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        assert_eq!(number(-0.2, 0), "0");
        assert_eq!(number(-0.02, 1), "0.0");
        assert_eq!(number(-3.0, 0), "-3");
    }
}
