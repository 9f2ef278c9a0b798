//! Appends JSON numbers and booleans to a line, as `serde_json` writes them.

use std::fmt::Write as _;

use serde_json::Number;

use super::buffer::LineBuffer;

pub(crate) fn unsigned(line: &mut LineBuffer, mut number: u64) {
    // Most numbers are short.
    if number < 100 {
        let number = number as u16;
        if number >= 10 {
            line.push(digit(number / 10));
        }
        return line.push(digit(number % 10));
    }
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
    line.push_ascii(&digits[start..]);
}

pub(crate) fn signed(line: &mut LineBuffer, number: i64) {
    if number < 0 {
        line.push(b'-');
    }
    unsigned(line, number.unsigned_abs());
}

pub(crate) fn boolean(line: &mut LineBuffer, value: bool) {
    line.push_str(if value { "true" } else { "false" });
}

/// Appends an array of numbers.
pub(crate) fn bytes(line: &mut LineBuffer, bytes: &[u8]) {
    line.push(b'[');
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        unsigned(line, u64::from(*byte));
    }
    line.push(b']');
}

/// Appends a number with a point or an exponent: `1.0`, `1e16`. JSON has no infinities and no NaN: those are `null`.
pub(crate) fn float(line: &mut LineBuffer, number: f64) {
    match Number::from_f64(number) {
        Some(number) => _ = write!(line, "{number}"),
        None => line.push_str("null"),
    }
}

/// Appends `number / 1_000`, as [`float`] writes it: `1204` is `1.204`.
pub(crate) fn thousandths(line: &mut LineBuffer, number: u64) {
    // A float has 15 digits that are exact.
    if number >= 1_000_000_000_000_000 {
        return float(line, number as f64 / 1_000.0);
    }
    unsigned(line, number / 1_000);
    let rest = (number % 1_000) as u16;
    line.push(b'.');
    line.push(digit(rest / 100));
    if !rest.is_multiple_of(100) {
        line.push(digit(rest / 10 % 10));
    }
    if !rest.is_multiple_of(10) {
        line.push(digit(rest % 10));
    }
}

fn digit(number: u16) -> u8 {
    b'0' + number as u8
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
