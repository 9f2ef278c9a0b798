//! `QuoteOrders`: one quote for each request, while both sides like.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use tonic::codegen::tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::v1::{Price, Quote, QuoteRequest, ShippingSpeed, quote};
use crate::validate::{self, Violations};

const STANDARD_CENTS: i64 = 490;
const EXPRESS_CENTS: i64 = 1_490;

/// From here on, standard shipping is free.
const FREE_FROM_CENTS: i64 = 10_000;

const HOLDS: Duration = Duration::from_secs(15 * 60);

pub(super) fn quotes(
    requests: Streaming<QuoteRequest>,
) -> impl Stream<Item = Result<Quote, Status>> + Send + 'static {
    requests.map(|request| request.map(answer))
}

fn answer(request: QuoteRequest) -> Quote {
    let outcome = match price(&request) {
        Ok(price) => quote::Outcome::Price(price),
        Err(violations) => quote::Outcome::Rejection(violations.into()),
    };
    Quote { reference: request.reference, outcome: Some(outcome) }
}

fn price(request: &QuoteRequest) -> Result<Price, Violations> {
    let mut wrong = Violations::default();
    validate::total_cents(&mut wrong, request.total_cents);
    validate::currency(&mut wrong, &request.currency);
    let shipping_cents = match ShippingSpeed::try_from(request.speed) {
        Ok(ShippingSpeed::Express) => EXPRESS_CENTS,
        Ok(_) if request.total_cents >= FREE_FROM_CENTS => 0,
        Ok(ShippingSpeed::Standard | ShippingSpeed::Unspecified) => STANDARD_CENTS,
        Err(_) => {
            wrong.add("speed", "must be one that this server knows");
            0
        }
    };
    let total_cents = request.total_cents.checked_add(shipping_cents);
    if total_cents.is_none() {
        wrong.add("total_cents", "is too large");
    }
    wrong.or(Price {
        shipping_cents,
        total_cents: total_cents.unwrap_or(request.total_cents),
        currency: request.currency.clone(),
        valid_until: Some((SystemTime::now() + HOLDS).into()),
    })
}
