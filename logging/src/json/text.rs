//! Appends JSON strings to a line, as `serde_json` writes them.

use std::fmt::{self, Write as _};

use super::buffer::LineBuffer;

/// Appends `text` as a JSON string, with its quotes.
pub(crate) fn string(line: &mut LineBuffer, text: &str) {
    line.push(b'"');
    escaped(line, text);
    line.push(b'"');
}

/// Appends the `Debug` text of `value` as a JSON string, with its quotes.
///
/// What the value has written before an error of its own is kept.
pub(crate) fn debug(line: &mut LineBuffer, value: &dyn fmt::Debug) {
    line.push(b'"');
    let _ = write!(Escaped(line), "{value:?}");
    line.push(b'"');
}

/// Escapes what is written, for the inside of a JSON string.
pub(crate) struct Escaped<'l>(pub(crate) &'l mut LineBuffer);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escaped(self.0, text);
        Ok(())
    }
}

/// Appends `text`, escaped for the inside of a JSON string.
pub(crate) fn escaped(line: &mut LineBuffer, text: &str) {
    if is_plain(text.as_bytes()) {
        line.push_str(text);
    } else {
        escape_bytes(line, text);
    }
}

/// Whether no byte needs an escape.
///
/// Reads words of eight bytes; the last one may overlap the one before it.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
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
    let word = u64::from_ne_bytes(word);
    // The subtraction sets the high bit of a byte that is below the number. It borrows from the next byte only if there
    // was such a byte. Bytes whose high bit was set before are not ASCII. With bit 1 flipped, the control characters
    // and the quote are the bytes below `!`.
    let control_or_quote = (word ^ repeat(0x02)).wrapping_sub(repeat(b'!'));
    let backslash = (word ^ repeat(b'\\')).wrapping_sub(repeat(1));
    (control_or_quote | backslash) & !word & repeat(0x80) == 0
}

#[cold]
fn escape_bytes(line: &mut LineBuffer, text: &str) {
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        let Some(escape) = escape(byte) else { continue };
        line.push_str(&text[start..index]);
        start = index + 1;
        match escape {
            Escape::Letter(letter) => line.push_ascii(&[b'\\', letter]),
            Escape::Number => _ = write!(line, "\\u{byte:04x}"),
        }
    }
    line.push_str(&text[start..]);
}

enum Escape {
    Letter(u8),
    Number,
}

fn escape(byte: u8) -> Option<Escape> {
    Some(match byte {
        b'"' => Escape::Letter(b'"'),
        b'\\' => Escape::Letter(b'\\'),
        0x08 => Escape::Letter(b'b'),
        0x0c => Escape::Letter(b'f'),
        b'\n' => Escape::Letter(b'n'),
        b'\r' => Escape::Letter(b'r'),
        b'\t' => Escape::Letter(b't'),
        ..0x20 => Escape::Number,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut LineBuffer)) -> String {
        let mut line = LineBuffer::default();
        write(&mut line);
        line.text_from(0).to_owned()
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
}
