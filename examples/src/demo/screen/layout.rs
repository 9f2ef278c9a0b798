//! Columns, and texts that are too wide for them.

use super::look::{Look, Tone};

/// Width of the mark and of each space between columns.
const MARK: usize = 3;
const SPACE: usize = 2;

/// The widths of the three columns after the mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns([usize; 3]);

impl Columns {
    /// The two columns of endings have the same width. Most endings fit into 25 characters.
    pub(super) fn of_width(width: usize) -> Self {
        let name = if width < 100 { 23 } else { 32 };
        let ending = (width.saturating_sub(MARK + name + 2 * SPACE) / 2).max(10);
        Self([name, ending, ending])
    }

    /// The lines of one row.
    pub(super) fn row(
        self,
        look: Look,
        mark: &str,
        mark_tone: Tone,
        cells: [(String, Tone); 3],
    ) -> Vec<String> {
        let Self(widths) = self;
        let mut cell = 0;
        let wrapped = cells.map(|(text, tone)| {
            let width = widths[cell];
            cell += 1;
            (wrap(&text, width), width, tone)
        });
        let height = wrapped.iter().map(|(lines, ..)| lines.len()).max().unwrap_or_default();
        let line = |number: usize| {
            let mut line = padded(look, if number == 0 { mark } else { "" }, MARK, mark_tone);
            for (lines, width, tone) in &wrapped {
                let text = lines.get(number).map_or("", String::as_str);
                line += &padded(look, text, width + SPACE, *tone);
            }
            line
        };
        (0..height).map(line).collect()
    }
}

/// The spaces are not painted.
fn padded(look: Look, text: &str, width: usize, tone: Tone) -> String {
    let spaces = width.saturating_sub(text.chars().count());
    format!("{}{:spaces$}", look.paint(tone, text), "")
}

/// The words of a text in lines of at most this width. Longer words are cut into several.
pub(in crate::demo) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut left = 0;
    for word in text.split(' ').flat_map(|word| pieces(word, width)) {
        let wide = word.chars().count();
        match lines.last_mut() {
            Some(line) if wide < left => {
                line.push(' ');
                line.push_str(&word);
                left -= wide + 1;
            }
            _ => {
                lines.push(word);
                left = width - wide;
            }
        }
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_wrapped_between_words_and_a_long_word_is_cut() {
        assert_eq!(wrap("INTERNAL after 2 messages", 80), ["INTERNAL after 2 messages"]);
        assert_eq!(wrap("INTERNAL after 2 messages", 16), ["INTERNAL after 2", "messages"]);
        assert_eq!(wrap("PERMISSION_DENIED NO", 10), ["PERMISSION", "_DENIED NO"]);
        assert_eq!(wrap("", 10), [""; 0]);
    }

    #[test]
    fn a_row_is_as_wide_as_the_screen_and_as_high_as_its_highest_cell() {
        for width in [80, 120] {
            let cells = ["over quota", "OK", "RESOURCE_EXHAUSTED RATE_LIMITED, and more words"];
            let cells = cells.map(|cell| (cell.to_owned(), Tone::Text));
            let lines = Columns::of_width(width).row(Look::Plain, "!!", Tone::Bad, cells);
            assert!(lines[0].starts_with("!! over quota  "), "{lines:?}");
            let too_wide = |line: &String| line.trim_end().len() > width;
            assert!(lines.len() > 1 && !lines.iter().any(too_wide), "{lines:?}");
        }
    }
}
