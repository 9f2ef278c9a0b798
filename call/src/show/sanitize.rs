//! Makes text from the wire safe to show.

use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// The maximum number of bytes that [`sanitize`] returns, including escapes.
pub const MAX_TEXT_BYTES: usize = 1_024;

/// The maximum number of bytes that [`sanitize_lines`] returns, counted as written in JSON.
///
/// With the other fields of an event this stays below 16 KiB, where container runtimes split a log line.
pub const MAX_LINES_BYTES: usize = 8 * 1_024;

/// Replaces the part that was cut off.
const REST: char = '…';

/// Makes untrusted text safe for a log line: one line of at most [`MAX_TEXT_BYTES`] bytes.
///
/// Control characters, line and paragraph separators, and characters that change the text direction are escaped
/// as in Rust (`\n`, `\u{1b}`), and bytes that are not UTF-8 as `\xff`. Text that is too long is cut and ends
/// in `…`. Text that needs no change is borrowed.
pub fn sanitize<T: AsRef<[u8]> + ?Sized>(text: &T) -> Cow<'_, str> {
    let bytes = text.as_ref();
    match std::str::from_utf8(bytes) {
        Ok(text) => sanitize_str(text),
        Err(_) => escaped(bytes).into(),
    }
}

/// Like [`sanitize`], for text that is known to be UTF-8, which is then not checked again.
pub fn sanitize_str(text: &str) -> Cow<'_, str> {
    match text.len() <= MAX_TEXT_BYTES && needs_no_escape(text) {
        true => text.into(),
        false => escaped(text.as_bytes()).into(),
    }
}

fn needs_no_escape(text: &str) -> bool {
    // The usual text is printable ASCII. Without an early exit, the compiler compares many bytes at once.
    let printable = |printable, byte: u8| printable & matches!(byte, b' '..=b'~');
    text.bytes().fold(true, printable) || !text.chars().any(needs_escape)
}

/// Makes multi-line text, such as a stack, safe to show. Like [`sanitize`], but line feeds are kept, and the
/// limit is [`MAX_LINES_BYTES`] bytes as written in JSON, where a line feed, a quotation mark and a backslash
/// are two bytes each.
///
/// Formatting stops at the limit, however long the text would be.
pub fn sanitize_lines<T: Display + ?Sized>(text: &T) -> String {
    let mut out = Lines { text: String::new(), bytes: 0, fits: 0 };
    // An error means that the limit was reached.
    let _ = write!(out, "{text}");
    out.text
}

/// Collects text up to the limit.
struct Lines {
    text: String,
    /// The length in JSON.
    bytes: usize,
    /// The length of the text that leaves room for [`REST`].
    fits: usize,
}

impl Write for Lines {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut utf8 = [0; 4];
        for char in text.chars() {
            if char != '\n' && needs_escape(char) {
                self.add(&char.escape_default().to_string())?;
            } else {
                self.add(char.encode_utf8(&mut utf8))?;
            }
        }
        Ok(())
    }
}

impl Lines {
    /// Adds a piece as a whole, or not at all.
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
            let fitted = if needs_escape(char) {
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

/// Bounded text, which ends in [`REST`] if it was cut.
struct Bounded {
    text: String,
    /// The length of the text that leaves room for [`REST`].
    fits: usize,
}

impl Bounded {
    /// Adds a piece as a whole, or not at all. Returns false if the text is full.
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

/// Whether a character ends the line, is invisible, or changes the text direction.
fn needs_escape(char: char) -> bool {
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
    fn characters_that_break_or_forge_a_line_are_escaped() {
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
    fn text_that_is_too_long_is_cut_between_characters_and_marked() {
        let cut = sanitize(&"x".repeat(MAX_TEXT_BYTES + 1)).into_owned();
        assert_eq!(cut, format!("{}…", "x".repeat(MAX_TEXT_BYTES - 3)));
        // An escape is never split.
        let cut = sanitize(&"\x1b".repeat(MAX_TEXT_BYTES)).into_owned();
        assert_eq!(cut, format!("{}…", r"\u{1b}".repeat((MAX_TEXT_BYTES - 3) / 6)));
        let exactly = format!("{}\n", "x".repeat(MAX_TEXT_BYTES - 2));
        assert_eq!(sanitize(&exactly), format!("{}\\n", "x".repeat(MAX_TEXT_BYTES - 2)));
    }

    /// The length in JSON, without the quotation marks.
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
    fn endless_text_is_formatted_only_up_to_the_limit() {
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

    /// The rules of [`sanitize`], applied to each character.
    fn sanitized_plainly(bytes: &[u8]) -> String {
        let mut pieces = Vec::new();
        for chunk in bytes.utf8_chunks() {
            pieces.extend(chunk.valid().chars().map(|char| match needs_escape(char) {
                true => char.escape_default().to_string(),
                false => char.to_string(),
            }));
            pieces.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        let whole = pieces.concat();
        if whole.len() <= MAX_TEXT_BYTES {
            return whole;
        }
        let mut cut = String::new();
        for piece in pieces {
            if cut.len() + piece.len() + REST.len_utf8() > MAX_TEXT_BYTES {
                break;
            }
            cut.push_str(&piece);
        }
        cut + "…"
    }

    #[test]
    fn each_character_is_escaped_or_borrowed_wherever_it_stands() {
        for char in ('\0'..='\u{3000}').chain(['\u{feff}', '\u{fffd}', '🦀']) {
            for (before, behind) in [(0, 0), (0, 40), (40, 0), (7, 16)] {
                let text = format!("{}{char}{}", "x".repeat(before), "~".repeat(behind));
                let shown = sanitize(&text);
                assert_eq!(shown, sanitized_plainly(text.as_bytes()), "{char:?}");
                assert_eq!(matches!(shown, Cow::Borrowed(_)), !needs_escape(char), "{char:?}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_shown_as_by_the_rules_for_each_character(
            plain in "[ -~]{0,1100}",
            text in "(?s).{0,40}",
            bytes in proptest::collection::vec(0_u8.., 0..40),
            at in 0_usize..1_200,
        ) {
            let mixed = |inserted: &[u8]| {
                let mut all = plain.clone().into_bytes();
                let at = at.min(all.len());
                all.splice(at..at, inserted.iter().copied());
                all
            };
            for bytes in [plain.clone().into_bytes(), mixed(text.as_bytes()), mixed(&bytes)] {
                proptest::prop_assert_eq!(sanitize(&bytes), sanitized_plainly(&bytes));
            }
        }

        #[test]
        fn any_lines_are_bounded(text in "(?s).{0,300}", times in 0_usize..60) {
            let text = text.repeat(times);
            let shown = sanitize_lines(&text);
            proptest::prop_assert!(in_json(&shown) <= MAX_LINES_BYTES);
            proptest::prop_assert!(!shown.chars().any(|char| char != '\n' && needs_escape(char)));
        }

        #[test]
        fn any_bytes_become_one_bounded_line(bytes in proptest::collection::vec(0_u8.., 0..3_000)) {
            let shown = sanitize(&bytes);
            proptest::prop_assert!(shown.len() <= MAX_TEXT_BYTES);
            proptest::prop_assert!(!shown.chars().any(needs_escape));
        }
    }
}
