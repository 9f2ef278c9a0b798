//! Percent-encoding of queries.

use std::borrow::Cow;

/// The bytes of a name or a value, which are copied only if they are encoded. `None` if a `%` is not before two
/// hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<Cow<'_, [u8]>> {
    let bytes = text.as_bytes();
    let Some(plain) = bytes.iter().position(|byte| matches!(byte, b'+' | b'%')) else {
        return Some(Cow::Borrowed(bytes));
    };
    let (plain, encoded) = bytes.split_at(plain);
    let mut decoded = Vec::with_capacity(bytes.len());
    decoded.extend_from_slice(plain);
    let mut bytes = encoded.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(*bytes.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            _ => byte,
        });
    }
    Some(Cow::Owned(decoded))
}
