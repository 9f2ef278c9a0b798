use http::HeaderValue;

/// The numbers below this are in a table: each other one takes an allocation.
const SMALL: usize = 1_000;

/// All numbers of three digits, with zeros in front, one after the other.
static DIGITS: [u8; 3 * SMALL] = {
    let mut digits = [0; 3 * SMALL];
    let mut number = 0;
    while number < SMALL {
        digits[3 * number] = b'0' + (number / 100) as u8;
        digits[3 * number + 1] = b'0' + (number / 10 % 10) as u8;
        digits[3 * number + 2] = b'0' + (number % 10) as u8;
        number += 1;
    }
    digits
};

/// A length as a header.
pub(crate) fn content_length(len: usize) -> HeaderValue {
    if len < SMALL {
        let zeros = usize::from(len < 100) + usize::from(len < 10);
        let digits = &DIGITS[3 * len + zeros..3 * len + 3];
        return HeaderValue::from_static(std::str::from_utf8(digits).unwrap_or_default());
    }
    // `HeaderValue::from` allocates twice.
    let (mut digits, mut at) = ([0; 20], 20);
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    HeaderValue::from_bytes(&digits[at..]).unwrap_or_else(|_| HeaderValue::from(len))
}

#[cfg(test)]
mod tests {
    use super::content_length;

    #[test]
    fn every_length_is_written_in_decimal() {
        for len in (0..1_100).chain([9_999, 10_000, 4_194_304, usize::MAX]) {
            assert_eq!(content_length(len), len.to_string());
        }
    }
}
