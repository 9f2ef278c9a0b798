//! Prices, with shipping.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;

const STANDARD_CENTS: i64 = 490;
const EXPRESS_CENTS: i64 = 1_490;

/// Minimum total for free standard shipping.
const FREE_SHIPPING_CENTS: i64 = 10_000;

/// How long a quote is valid.
const VALIDITY: Duration = Duration::from_secs(15 * 60);

/// How fast an order is shipped.
#[derive(Clone, Copy)]
pub(super) enum Speed {
    Standard,
    Express,
}

/// The price of an order.
pub(super) struct Price {
    pub(super) shipping_cents: i64,
    /// With shipping.
    pub(super) total_cents: i64,
    pub(super) valid_until: Timestamp,
}

/// The price of goods of so many cents; `None` if it is too large for a number.
pub(super) fn price(goods_cents: i64, speed: Speed) -> Option<Price> {
    let shipping_cents = match speed {
        Speed::Express => EXPRESS_CENTS,
        Speed::Standard if goods_cents >= FREE_SHIPPING_CENTS => 0,
        Speed::Standard => STANDARD_CENTS,
    };
    let total_cents = goods_cents.checked_add(shipping_cents)?;
    let valid_until = (SystemTime::now() + VALIDITY).into();
    Some(Price { shipping_cents, total_cents, valid_until })
}
