//! `Money`: units and nanos here, hundredths in the store.

use crate::v2::Money;
use crate::validate::{self, Violations};

const CENTS_PER_UNIT: i64 = 100;
const NANOS_PER_CENT: i32 = 10_000_000;

/// An amount as it is stored.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Amount {
    pub(super) cents: i64,
    pub(super) currency: String,
}

/// The amount in the field with this path. If there are violations, it means nothing.
pub(super) fn read(violations: &mut Violations, field: &str, money: Option<Money>) -> Amount {
    let Some(Money { currency_code, units, nanos }) = money else {
        violations.add(field, "must be set");
        return Amount::default();
    };
    validate::currency(violations, &format!("{field}.currency_code"), &currency_code);
    let hundredths = nanos / NANOS_PER_CENT;
    let whole = units.checked_mul(CENTS_PER_UNIT);
    let cents = whole.and_then(|cents| cents.checked_add(hundredths.into()));
    if units < 0 {
        violations.add(&format!("{field}.units"), "must not be negative");
    } else if cents.is_none() {
        violations.add(&format!("{field}.units"), "is too large");
    }
    if !(0..100).contains(&hundredths) || nanos % NANOS_PER_CENT != 0 {
        let text = "must be a multiple of 10,000,000, from 0 to 990,000,000";
        violations.add(&format!("{field}.nanos"), text);
    }
    Amount { cents: cents.unwrap_or_default(), currency: currency_code }
}

/// The message for an amount that is not negative.
pub(super) fn write(cents: i64, currency: &str) -> Money {
    let hundredths = i32::try_from(cents % CENTS_PER_UNIT).unwrap_or_default();
    Money {
        currency_code: currency.to_owned(),
        units: cents / CENTS_PER_UNIT,
        nanos: hundredths * NANOS_PER_CENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn euros(units: i64, nanos: i32) -> Option<Money> {
        Some(Money { currency_code: "EUR".to_owned(), units, nanos })
    }

    #[test]
    fn every_amount_is_the_same_after_writing_and_reading() {
        for cents in [0, 1, 99, 100, 1_999, i64::MAX] {
            let mut violations = Violations::default();
            let read = read(&mut violations, "total", Some(write(cents, "EUR")));
            assert_eq!(read, Amount { cents, currency: "EUR".to_owned() });
            assert_eq!(violations.message(), "");
        }
        assert_eq!(Some(write(1_999, "EUR")), euros(19, 990_000_000));
    }

    #[test]
    fn a_wrong_part_is_named_by_its_path() {
        let multiple = "total.nanos must be a multiple of 10,000,000, from 0 to 990,000,000";
        for (money, message) in [
            (None, "total must be set"),
            (euros(-1, 0), "total.units must not be negative"),
            (euros(i64::MIN, 0), "total.units must not be negative"),
            (euros(i64::MAX, 0), "total.units is too large"),
            (euros(i64::MAX / 100, 80_000_000), "total.units is too large"),
            (euros(0, 1), multiple),
            (euros(0, -10_000_000), multiple),
            (euros(0, 1_000_000_000), multiple),
            (euros(0, i32::MIN), multiple),
        ] {
            let mut violations = Violations::default();
            read(&mut violations, "total", money);
            assert_eq!(violations.message(), message);
        }
    }
}
