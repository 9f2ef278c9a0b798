//! Appends JSON values to a line, as `serde_json` writes them.

use std::fmt::{self, Write as _};

use serde_json::Number;

/// Appends `text` as a JSON string, with its quotes.
pub(crate) fn string(line: &mut String, text: &str) {
    line.push('"');
    escaped(line, text);
    line.push('"');
}

/// Appends `text` as a JSON string, with its quotes. No byte of it may need an escape: an identifier in hexadecimal,
/// an address, a name of this crate.
pub(crate) fn plain(line: &mut String, text: &str) {
    debug_assert!(is_plain(text.as_bytes()), "needs an escape: {text}");
    line.push('"');
    line.push_str(text);
    line.push('"');
}

/// Appends the `Display` text of `value` as a JSON string, with its quotes.
///
/// What the value has written before an error of its own is kept.
pub(crate) fn display(line: &mut String, value: &dyn fmt::Display) {
    line.push('"');
    let _ = write!(Escaped(line), "{value}");
    line.push('"');
}

/// Like [`display`], for the `Debug` text.
pub(crate) fn debug(line: &mut String, value: &dyn fmt::Debug) {
    line.push('"');
    let _ = write!(Escaped(line), "{value:?}");
    line.push('"');
}

/// Escapes what is written, for the inside of a JSON string.
pub(crate) struct Escaped<'l>(pub(crate) &'l mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escaped(self.0, text);
        Ok(())
    }
}

/// Appends `text`, escaped for the inside of a JSON string.
pub(crate) fn escaped(line: &mut String, text: &str) {
    if is_plain(text.as_bytes()) {
        line.push_str(text);
    } else {
        escape_bytes(line, text);
    }
}

pub(crate) fn unsigned(line: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    line.push_str(str::from_utf8(&digits[start..]).unwrap_or_default());
}

pub(crate) fn signed(line: &mut String, number: i64) {
    if number < 0 {
        line.push('-');
    }
    unsigned(line, number.unsigned_abs());
}

pub(crate) fn boolean(line: &mut String, value: bool) {
    line.push_str(if value { "true" } else { "false" });
}

/// Appends a number with a point or an exponent: `1.0`, `1e16`. JSON has no infinities and no NaN: those are `null`.
pub(crate) fn float(line: &mut String, number: f64) {
    match Number::from_f64(number) {
        Some(number) => _ = write!(line, "{number}"),
        None => line.push_str("null"),
    }
}

/// Appends `number / 1_000`, as [`float`] writes it: `1204` is `1.204`.
pub(crate) fn thousandths(line: &mut String, number: u64) {
    // A float has 15 digits that are exact.
    if number >= 1_000_000_000_000_000 {
        return float(line, number as f64 / 1_000.0);
    }
    unsigned(line, number / 1_000);
    let rest = (number % 1_000) as u16;
    let digits = [b'.', digit(rest / 100), digit(rest / 10 % 10), digit(rest % 10)];
    let length = match digits {
        [.., b'0', b'0'] => 2,
        [.., b'0'] => 3,
        _ => 4,
    };
    line.push_str(str::from_utf8(&digits[..length]).unwrap_or_default());
}

fn digit(number: u16) -> u8 {
    b'0' + number as u8
}

/// Whether no byte needs an escape.
///
/// Reads words of eight bytes; the last one may overlap the one before it.
fn is_plain(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk() {
        let (words, _) = bytes.as_chunks();
        return words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let ([a, b, c, d], [e, f, g, h]) = (*first, *last);
        return is_plain_word([a, b, c, d, e, f, g, h]);
    }
    bytes.iter().all(|byte| escape(*byte).is_none())
}

fn is_plain_word(word: [u8; 8]) -> bool {
    const fn repeat(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // The high bit of some byte is set if any byte is below the limit, and is not set if none is.
    let has_below = |word: u64, limit: u8| word.wrapping_sub(repeat(limit)) & !word;
    let word = u64::from_ne_bytes(word);
    let control = has_below(word, 0x20);
    let quote = has_below(word ^ repeat(b'"'), 1);
    let backslash = has_below(word ^ repeat(b'\\'), 1);
    (control | quote | backslash) & repeat(0x80) == 0
}

#[cold]
fn escape_bytes(line: &mut String, text: &str) {
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let Some(escape) = escape(byte) else { continue };
        line.push_str(&text[start..index]);
        start = index + 1;
        match escape {
            Escape::Letter(letter) => line.extend(['\\', letter]),
            Escape::Number => _ = write!(line, "\\u{byte:04x}"),
        }
    }
    line.push_str(&text[start..]);
}

enum Escape {
    Letter(char),
    Number,
}

fn escape(byte: u8) -> Option<Escape> {
    Some(match byte {
        b'"' => Escape::Letter('"'),
        b'\\' => Escape::Letter('\\'),
        0x08 => Escape::Letter('b'),
        0x0c => Escape::Letter('f'),
        b'\n' => Escape::Letter('n'),
        b'\r' => Escape::Letter('r'),
        b'\t' => Escape::Letter('t'),
        ..0x20 => Escape::Number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut line = String::new();
        write(&mut line);
        line
    }

    fn reference(value: impl Into<serde_json::Value>) -> String {
        value.into().to_string()
    }

    #[test]
    fn each_character_is_written_as_serde_json_does_at_each_place_of_a_word() {
        let chars = (0..0x300).chain([0x2028, 0xfffd, 0x1_f600]).filter_map(char::from_u32);
        for char in chars {
            for before in 0..18 {
                for after in 0..9 {
                    let text = format!("{}{char}{}", "a".repeat(before), "z".repeat(after));
                    assert_eq!(written(|line| string(line, &text)), reference(text));
                }
            }
        }
    }

    #[test]
    fn neighbours_of_a_byte_do_not_hide_that_it_needs_an_escape() {
        for neighbour in [' ', '!', '#', '[', ']', '\u{7f}', 'é', '\0'] {
            for char in ['\0', '\u{1f}', '"', '\\'] {
                let text = format!("{neighbour}{neighbour}{char}{neighbour}{char}{neighbour}");
                assert_eq!(written(|line| string(line, &text)), reference(text));
            }
        }
    }

    #[test]
    fn whole_numbers_are_written_as_serde_json_does() {
        let powers = (0..64).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits]);
        for number in powers.chain([9, 10, 99, 100, u64::MAX]) {
            assert_eq!(written(|line| unsigned(line, number)), reference(number));
            let negative = (number as i64).wrapping_neg();
            assert_eq!(written(|line| signed(line, negative)), reference(negative));
        }
    }

    #[test]
    fn floats_are_written_as_serde_json_does() {
        for number in [0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e-5, 1e-6, f64::MIN_POSITIVE, f64::MAX] {
            assert_eq!(written(|line| float(line, number)), reference(number));
        }
        assert_eq!(written(|line| float(line, 1.0)), "1.0");
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(written(|line| float(line, number)), "null");
        }
    }

    #[test]
    fn thousandths_are_written_as_floats_are() {
        let powers = (0..64).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits]);
        for number in (0..20_000).chain(powers).chain([10u64.pow(15) - 1, 10u64.pow(15)]) {
            let float = reference(number as f64 / 1_000.0);
            assert_eq!(written(|line| thousandths(line, number)), float, "{number}");
        }
    }
}
