//! The parts of a string that are the same in JSON.

/// The number of bytes before the first one that has to be escaped in a string: a quote, a backslash or a control
/// character.
pub(super) fn plain_len(bytes: &[u8]) -> usize {
    let (chunks, rest) = bytes.as_chunks();
    for (at, chunk) in chunks.iter().enumerate() {
        let marks = marks_of_special(*chunk);
        if marks != 0 {
            return 8 * at + (marks.trailing_zeros() / 8) as usize;
        }
    }
    if bytes.last_chunk().is_some_and(|last| marks_of_special(*last) == 0) {
        return bytes.len();
    }
    let is_special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    8 * chunks.len() + rest.iter().take_while(|byte| !is_special(byte)).count()
}

/// Whether these bytes are ASCII of which nothing has to be escaped: the most frequent text needs no other check.
pub(super) fn is_plain_ascii(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks();
    let is_plain = |chunk: &[u8; 16]| {
        // Without a branch, so that the compiler looks at all of them at once.
        let special = |byte: &u8| !(0x20..0x80).contains(byte) | (*byte == b'"') | (*byte == b'\\');
        !chunk.iter().fold(false, |found, byte| found | special(byte))
    };
    if !chunks.iter().all(is_plain) {
        return false;
    }
    let mut last = [b' '; 16];
    match (rest.len(), bytes.last_chunk()) {
        (0, _) => true,
        (_, Some(last)) => is_plain(last),
        _ => {
            last[..rest.len()].copy_from_slice(rest);
            is_plain(&last)
        }
    }
}

/// The highest bit of the first of eight bytes that has to be escaped. Bits of bytes before it are not set, those of
/// bytes behind it may be, because the subtraction carries.
fn marks_of_special(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = u64::MAX / 255;
    let bytes = u64::from_le_bytes(bytes);
    let each = |byte: u8| EACH * u64::from(byte);
    // Byte by byte, the highest bit of those that are lower. Bytes from 0x80 on are never marked.
    let lower = |bytes: u64, limit: u8| bytes.wrapping_sub(each(limit)) & !bytes;
    // With this bit flipped, a quote is 0x20, and the control characters remain those below.
    let control_or_quote = lower(bytes ^ each(0x02), 0x21);
    (control_or_quote | lower(bytes ^ each(b'\\'), 1)) & each(0x80)
}

#[cfg(test)]
mod tests {
    use super::{is_plain_ascii, plain_len};

    #[test]
    fn the_first_byte_to_escape_is_found_wherever_it_is() {
        for len in 0..40 {
            let plain = vec![b'a'; len];
            assert_eq!(plain_len(&plain), len);
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    let expected = if is_special { at } else { len };
                    assert_eq!(plain_len(&bytes), expected, "{byte} at {at} of {len}");
                    let is_plain = !is_special && byte.is_ascii();
                    assert_eq!(is_plain_ascii(&bytes), is_plain, "{byte} at {at} of {len}");
                    // What follows a special byte does not matter.
                    bytes[at + 1..].fill(b'"');
                    let expected = if is_special { at } else { len.min(at + 1) };
                    assert_eq!(plain_len(&bytes), expected, "{byte} at {at} of {len}");
                }
            }
        }
    }
}
