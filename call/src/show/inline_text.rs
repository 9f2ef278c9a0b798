use std::fmt;

/// Short ASCII text without allocation, written without the machinery of `fmt`.
// Aligned, so that `from_utf8` reads whole words of `bytes`, which come first.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct InlineText<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

impl<const MAX: usize> InlineText<MAX> {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; MAX], len: 0 }
    }

    /// Adds ASCII text. Panics if there is no room left: `MAX` must be the length of the longest text.
    pub(crate) fn push(&mut self, ascii: &[u8]) {
        debug_assert!(ascii.is_ascii(), "{ascii:?}");
        self.bytes[self.len..][..ascii.len()].copy_from_slice(ascii);
        self.len += ascii.len();
    }

    /// Adds the first of these characters. Only addresses need it.
    #[cfg(feature = "server")]
    pub(crate) fn push_start(&mut self, ascii: [u8; 4], len: usize) {
        match self.bytes[self.len..].first_chunk_mut() {
            Some(room) => {
                *room = ascii;
                self.len += len;
            }
            None => ascii.into_iter().take(len).for_each(|byte| self.push_byte(byte)),
        }
    }

    /// Adds one ASCII character. Only addresses need it.
    #[cfg(feature = "server")]
    pub(crate) fn push_byte(&mut self, ascii: u8) {
        debug_assert!(ascii.is_ascii(), "{ascii:?}");
        self.bytes[self.len] = ascii;
        self.len += 1;
    }

    /// Adds a number in decimal digits.
    pub(crate) fn push_decimal(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut start = digits.len();
        let mut rest = number;
        loop {
            start -= 1;
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn as_str(&self) -> &str {
        // The bytes are ASCII.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

/// The lower-case hexadecimal digit of a number below 16.
pub(crate) const fn hex_digit(number: u8) -> u8 {
    number + if number < 10 { b'0' } else { b'a' - 10 }
}

impl<const MAX: usize> fmt::Display for InlineText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const MAX: usize> fmt::Debug for InlineText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_std_writes_them(number in 0_u32..) {
            for number in [number, number % 100_000, number % 300, number % 10] {
                let mut text = InlineText::<10>::new();
                text.push_decimal(number);
                prop_assert_eq!(text.as_str(), number.to_string());
            }
        }
    }
}
