use std::fmt;

use super::inline_text::hex_digit;

/// A fixed number of lower-case hexadecimal digits, without allocation.
// Aligned, so that `from_utf8` reads whole words.
#[repr(align(8))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hex<const DIGITS: usize>([u8; DIGITS]);

/// The two digits of each byte.
static PAIRS: [[u8; 2]; 256] = {
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [hex_digit(byte as u8 >> 4), hex_digit(byte as u8 & 0x0f)];
        byte += 1;
    }
    pairs
};

impl<const DIGITS: usize> Hex<DIGITS> {
    /// The lowest `DIGITS` digits of a number, with leading zeros.
    pub fn new(number: u128) -> Self {
        let mut digits = [b'0'; DIGITS];
        let mut end = DIGITS;
        for byte in number.to_le_bytes() {
            let pair = PAIRS[usize::from(byte)];
            match end {
                0 => break,
                1 => digits[0] = pair[1],
                _ => digits[end - 2..end].copy_from_slice(&pair),
            }
            end = end.saturating_sub(2);
        }
        Self(digits)
    }

    /// The digits, in ASCII.
    pub fn as_bytes(&self) -> &[u8; DIGITS] {
        &self.0
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // The digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const DIGITS: usize> fmt::Display for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const DIGITS: usize> fmt::Debug for Hex<DIGITS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_with_leading_zeros() {
        for number in [0, 1, 0xab, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(Hex::<32>::new(number).as_str(), format!("{number:032x}"));
            assert_eq!(Hex::<32>::new(number).as_bytes()[..], *format!("{number:032x}").as_bytes());
            assert_eq!(Hex::<16>::new(number).as_str(), format!("{:016x}", number as u64));
            assert_eq!(Hex::<2>::new(number).as_str(), format!("{:02x}", number & 0xff));
            assert_eq!(Hex::<3>::new(number).as_str(), format!("{:03x}", number & 0xfff));
            assert_eq!(Hex::<34>::new(number).as_str(), format!("{number:034x}"));
        }
    }
}
