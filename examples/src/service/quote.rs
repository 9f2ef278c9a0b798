//! `QuoteOrders`: one quote per request, until either side ends the stream.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::v1::{Price, Quote, QuoteRequest, ShippingSpeed, quote};
use crate::validate::{self, Violations};

const STANDARD_CENTS: i64 = 490;
const EXPRESS_CENTS: i64 = 1_490;

/// Minimum total for free standard shipping.
const FREE_SHIPPING_CENTS: i64 = 10_000;

/// How long a quote is valid.
const VALIDITY: Duration = Duration::from_secs(15 * 60);

pub(super) fn quotes(
    requests: Streaming<QuoteRequest>,
) -> impl Stream<Item = Result<Quote, Status>> + Send + 'static {
    requests.map(|request| request.map(quote))
}

fn quote(request: QuoteRequest) -> Quote {
    let outcome = match price(&request) {
        Ok(price) => quote::Outcome::Price(price),
        Err(violations) => quote::Outcome::Rejection(violations.into()),
    };
    Quote { reference: request.reference, outcome: Some(outcome) }
}

fn price(request: &QuoteRequest) -> Result<Price, Violations> {
    let mut violations = Violations::default();
    validate::total_cents(&mut violations, request.total_cents);
    validate::currency(&mut violations, &request.currency);
    let shipping_cents = match ShippingSpeed::try_from(request.speed) {
        Ok(ShippingSpeed::Express) => EXPRESS_CENTS,
        Ok(_) if request.total_cents >= FREE_SHIPPING_CENTS => 0,
        Ok(ShippingSpeed::Standard | ShippingSpeed::Unspecified) => STANDARD_CENTS,
        Err(_) => {
            violations.add("speed", "must be a value that this server knows");
            0
        }
    };
    let total_cents = request.total_cents.checked_add(shipping_cents);
    if total_cents.is_none() {
        violations.add("total_cents", "is too large");
    }
    violations.or(Price {
        shipping_cents,
        total_cents: total_cents.unwrap_or(request.total_cents),
        currency: request.currency.clone(),
        valid_until: Some((SystemTime::now() + VALIDITY).into()),
    })
}
