//! The page: its rows, and whether the committed one has them.

use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/endings.md");
const COMMAND: &str = "ENDINGS=overwrite cargo test -p orders --test every_ending_is_seen_alike";

/// One ending, and what each one shows for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) ending: String,
    pub(crate) caller: String,
    pub(crate) log: String,
    pub(crate) metrics: String,
    pub(crate) span: String,
}

/// Rows that belong together.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Row {
    fn line(&self) -> String {
        let cells = [&self.ending, &self.caller, &self.log, &self.metrics, &self.span];
        cells
            .iter()
            .fold("|".to_owned(), |line, cell| line + " " + &cell.replace('|', "\\|") + " |")
    }
}

fn render(sections: &[Section]) -> String {
    let mut page = include_str!("introduction.md").replace("COMMAND", COMMAND);
    for section in sections {
        write!(page, "\n## {}\n\n{}\n\n", section.title, section.about).unwrap();
        page.push_str("| ending | caller | log line | metrics | span |\n|---|---|---|---|---|\n");
        for row in &section.rows {
            page.push_str(&row.line());
            page.push('\n');
        }
    }
    page
}

/// Compares the page with the committed one, or writes it, if `ENDINGS=overwrite` is set.
pub(crate) fn compare(sections: &[Section]) {
    let page = render(sections);
    if std::env::var("ENDINGS").is_ok_and(|what| what == "overwrite") {
        std::fs::write(PAGE, page).unwrap();
        return;
    }
    // Git may check files out with the line ends of Windows.
    let committed = std::fs::read_to_string(PAGE).unwrap_or_default().replace("\r\n", "\n");
    if page == committed {
        return;
    }
    let absent = |lines: &str, from: &str, sign: &str| {
        let absent = lines.lines().filter(|line| !from.lines().any(|other| other == *line));
        absent.fold(String::new(), |all, line| all + sign + line + "\n")
    };
    let (before, now) = (absent(&committed, &page, "- "), absent(&page, &committed, "+ "));
    panic!(
        "docs/endings.md differs from what is seen:\n{before}{now}\
         If that is right, write the page again, and commit it:\n    {COMMAND}"
    );
}
