//! Text from the wire, made fit to be shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How many bytes of a text from the wire are shown, at most, with what escaping adds.
pub const TEXT_AT_MOST: usize = 1_024;

/// What stands for the rest.
const REST: char = '…';

/// Text that somebody else wrote, fit for a log line: on one line, and at most [`TEXT_AT_MOST`] bytes.
///
/// Control characters, line and paragraph separators, and characters that change the direction of
/// the text are escaped as Rust writes them (`\n`, `\u{1b}`), bytes that are not UTF-8 as `\xff`. What
/// is too long ends in `…`. A text that needs none of it is borrowed.
pub fn printable<T: AsRef<[u8]> + ?Sized>(text: &T) -> Cow<'_, str> {
    let bytes = text.as_ref();
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= TEXT_AT_MOST && !text.chars().any(is_unfit) => text.into(),
        _ => escaped(bytes).into(),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut out = Bounded { text: String::new(), fits: 0 };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            let fitted = if is_unfit(char) {
                out.push(format_args!("{}", char.escape_default()))
            } else {
                out.push(format_args!("{char}"))
            };
            if !fitted {
                return out.text;
            }
        }
        for byte in chunk.invalid() {
            if !out.push(format_args!("\\x{byte:02x}")) {
                return out.text;
            }
        }
    }
    out.text
}

/// Text that never gets too long, and ends in [`REST`] if it would have.
struct Bounded {
    text: String,
    /// How much of the text leaves room for [`REST`].
    fits: usize,
}

impl Bounded {
    /// Adds a piece, whole or not at all. False says that the text is full.
    fn push(&mut self, piece: std::fmt::Arguments<'_>) -> bool {
        // Writing to a `String` does not fail.
        let _ = self.text.write_fmt(piece);
        if self.text.len() > TEXT_AT_MOST {
            self.text.truncate(self.fits);
            self.text.push(REST);
            return false;
        }
        if self.text.len() <= TEXT_AT_MOST - REST.len_utf8() {
            self.fits = self.text.len();
        }
        true
    }
}

/// Whether a character ends the line, hides, or moves what stands around it.
fn is_unfit(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_borrowed() {
        for text in ["", "not found: \"a\\b\"", "Grüße, 訂單 🦀"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        let longest = "x".repeat(TEXT_AT_MOST);
        assert!(matches!(printable(&longest), Cow::Borrowed(_)));
    }

    #[test]
    fn what_breaks_or_forges_a_line_is_escaped() {
        for (text, shown) in [
            ("a\r\nb", r"a\r\nb"),
            ("\x1b[31mred\x7f", r"\u{1b}[31mred\u{7f}"),
            ("nul\0", r"nul\u{0}"),
            ("\u{85}\u{2028}\u{2029}", r"\u{85}\u{2028}\u{2029}"),
            ("\u{202e}txt\u{2066}", r"\u{202e}txt\u{2066}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable(b"ok\xff\xfe!"), r"ok\xff\xfe!");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let cut = printable(&"x".repeat(TEXT_AT_MOST + 1)).into_owned();
        assert_eq!(cut, format!("{}…", "x".repeat(TEXT_AT_MOST - 3)));
        // No escape is cut in two.
        let cut = printable(&"\x1b".repeat(TEXT_AT_MOST)).into_owned();
        assert_eq!(cut, format!("{}…", r"\u{1b}".repeat((TEXT_AT_MOST - 3) / 6)));
        let exactly = format!("{}\n", "x".repeat(TEXT_AT_MOST - 2));
        assert_eq!(printable(&exactly), format!("{}\\n", "x".repeat(TEXT_AT_MOST - 2)));
    }

    proptest::proptest! {
        #[test]
        fn whatever_it_was_it_is_one_bounded_line(bytes in proptest::collection::vec(0_u8.., 0..3_000)) {
            let shown = printable(&bytes);
            proptest::prop_assert!(shown.len() <= TEXT_AT_MOST);
            proptest::prop_assert!(!shown.chars().any(is_unfit));
        }
    }
}
