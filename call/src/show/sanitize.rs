//! Text from the wire, made fit to be shown.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// How many bytes of a text from the wire are shown, at most, with what escaping adds.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// How many bytes [`sanitize_lines`] takes, at most, as JSON writes them.
///
/// With the other fields of an event it stays under 16 KiB, where container runtimes split a line of the log.
pub const MAX_LINES_BYTES: usize = 8 * 1_024;

/// What stands for the rest.
const REST: char = '…';

/// Text that somebody else wrote, fit for a log line: on one line, and at most [`MAX_TEXT_BYTES`] bytes.
///
/// Control characters, line and paragraph separators, and characters that change the direction of
/// the text are escaped as Rust writes them (`\n`, `\u{1b}`), bytes that are not UTF-8 as `\xff`. What
/// is too long ends in `…`. A text that needs none of it is borrowed.
pub fn sanitize<T: AsRef<[u8]> + ?Sized>(text: &T) -> Cow<'_, str> {
    let bytes = text.as_ref();
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.len() <= MAX_TEXT_BYTES && !text.chars().any(is_unfit) => text.into(),
        _ => escaped(bytes).into(),
    }
}

/// Text of several lines, such as a stack: like [`sanitize`], but line feeds stay, and it has at most
/// [`MAX_LINES_BYTES`] bytes as JSON writes it, where a line feed, a quotation mark and a backslash are two.
///
/// What is too long is not written any further, however long it would be.
pub fn sanitize_lines<T: Display + ?Sized>(text: &T) -> String {
    let mut out = Lines { text: String::new(), bytes: 0, fits: 0 };
    // An error says that it is full.
    let _ = write!(out, "{text}");
    out.text
}

/// Takes a text until it is full.
struct Lines {
    text: String,
    /// How long it is in JSON.
    bytes: usize,
    /// How much of the text leaves room for [`REST`].
    fits: usize,
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut utf8 = [0; 4];
        for char in text.chars() {
            if char != '\n' && is_unfit(char) {
                self.add(&char.escape_default().to_string())?;
            } else {
                self.add(char.encode_utf8(&mut utf8))?;
            }
        }
        Ok(())
    }
}

impl Lines {
    /// Adds a piece, whole or not at all.
    fn add(&mut self, piece: &str) -> fmt::Result {
        let escaped = piece.bytes().filter(|byte| matches!(byte, b'\n' | b'"' | b'\\')).count();
        self.bytes += piece.len() + escaped;
        if self.bytes > MAX_LINES_BYTES {
            self.text.truncate(self.fits);
            self.text.push(REST);
            return Err(fmt::Error);
        }
        self.text.push_str(piece);
        if self.bytes <= MAX_LINES_BYTES - REST.len_utf8() {
            self.fits = self.text.len();
        }
        Ok(())
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
    fn push(&mut self, piece: fmt::Arguments<'_>) -> bool {
        // Writing to a `String` does not fail.
        let _ = self.text.write_fmt(piece);
        if self.text.len() > MAX_TEXT_BYTES {
            self.text.truncate(self.fits);
            self.text.push(REST);
            return false;
        }
        if self.text.len() <= MAX_TEXT_BYTES - REST.len_utf8() {
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
            assert!(matches!(sanitize(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        let longest = "x".repeat(MAX_TEXT_BYTES);
        assert!(matches!(sanitize(&longest), Cow::Borrowed(_)));
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
            assert_eq!(sanitize(text), shown);
        }
        assert_eq!(sanitize(b"ok\xff\xfe!"), r"ok\xff\xfe!");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_says_so() {
        let cut = sanitize(&"x".repeat(MAX_TEXT_BYTES + 1)).into_owned();
        assert_eq!(cut, format!("{}…", "x".repeat(MAX_TEXT_BYTES - 3)));
        // No escape is cut in two.
        let cut = sanitize(&"\x1b".repeat(MAX_TEXT_BYTES)).into_owned();
        assert_eq!(cut, format!("{}…", r"\u{1b}".repeat((MAX_TEXT_BYTES - 3) / 6)));
        let exactly = format!("{}\n", "x".repeat(MAX_TEXT_BYTES - 2));
        assert_eq!(sanitize(&exactly), format!("{}\\n", "x".repeat(MAX_TEXT_BYTES - 2)));
    }

    /// How long JSON writes it, without the quotation marks around it.
    fn in_json(text: &str) -> usize {
        text.chars().map(|char| char.len_utf8() + usize::from("\n\"\\".contains(char))).sum()
    }

    #[test]
    fn lines_stay_lines_and_are_bounded_as_json_writes_them() {
        let stack = "0: a::b\n    at ./src/a.rs:1:2\n";
        assert_eq!(sanitize_lines(stack), stack);
        assert_eq!(sanitize_lines("a\r\n\x1b[31m\u{2028}b"), "a\\r\n\\u{1b}[31m\\u{2028}b");
        for (piece, most) in
            [("x", MAX_LINES_BYTES), ("\n", MAX_LINES_BYTES / 2), ("\"", MAX_LINES_BYTES / 2)]
        {
            let fits = piece.repeat(most);
            assert_eq!(sanitize_lines(&fits), fits);
            let cut = sanitize_lines(&piece.repeat(most + 1));
            assert!(cut.ends_with(REST) && in_json(&cut) <= MAX_LINES_BYTES, "{piece:?}");
            assert!(in_json(&cut) >= MAX_LINES_BYTES - 8, "{piece:?}");
        }
    }

    #[test]
    fn what_never_ends_is_written_no_further() {
        struct Endless;

        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("0123456789\n")?;
                }
            }
        }

        assert!(sanitize_lines(&Endless).ends_with(REST));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_lines_were_they_are_bounded(text in "(?s).{0,300}", times in 0_usize..60) {
            let text = text.repeat(times);
            let shown = sanitize_lines(&text);
            proptest::prop_assert!(in_json(&shown) <= MAX_LINES_BYTES);
            proptest::prop_assert!(!shown.chars().any(|char| char != '\n' && is_unfit(char)));
        }

        #[test]
        fn whatever_it_was_it_is_one_bounded_line(bytes in proptest::collection::vec(0_u8.., 0..3_000)) {
            let shown = sanitize(&bytes);
            proptest::prop_assert!(shown.len() <= MAX_TEXT_BYTES);
            proptest::prop_assert!(!shown.chars().any(is_unfit));
        }
    }
}
