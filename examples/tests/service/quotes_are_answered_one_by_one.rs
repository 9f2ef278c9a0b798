use orders::drain::Signal;
use orders::v1::quote::Outcome;
use orders::v1::{Price, Quote, QuoteRequest, ShippingSpeed};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

use crate::common::server::Server;
use crate::common::soon;

async fn talk(server: &Server) -> (mpsc::UnboundedSender<QuoteRequest>, Streaming<Quote>) {
    let (ask, asked) = mpsc::unbounded_channel();
    let quotes = server.client.clone().quote_orders(UnboundedReceiverStream::new(asked)).await;
    (ask, quotes.unwrap().into_inner())
}

fn request(reference: &str, total_cents: i64, currency: &str, speed: i32) -> QuoteRequest {
    QuoteRequest {
        reference: reference.to_owned(),
        total_cents,
        currency: currency.to_owned(),
        speed,
    }
}

fn price(quote: &Quote) -> &Price {
    match &quote.outcome {
        Some(Outcome::Price(price)) => price,
        other => panic!("no price: {other:?}"),
    }
}

#[tokio::test]
async fn each_before_the_next_is_asked() {
    let server = Server::start().await;
    let (ask, mut quotes) = talk(&server).await;
    let express = ShippingSpeed::Express.into();
    for (reference, total, speed, shipping) in
        [("a", 100, 0, 490), ("b", 100, express, 1490), ("c", 10_000, 0, 0)]
    {
        ask.send(request(reference, total, "EUR", speed)).unwrap();
        let quote = soon(quotes.message()).await.unwrap().unwrap();
        assert_eq!(quote.reference, reference);
        let price = price(&quote);
        assert_eq!((price.shipping_cents, price.total_cents), (shipping, total + shipping));
        assert!(price.valid_until.is_some());
    }
    drop(ask);
    assert_eq!(soon(quotes.message()).await.unwrap(), None);
}

#[tokio::test]
async fn a_wrong_one_is_answered_too_and_the_talk_goes_on() {
    let server = Server::start().await;
    let (ask, mut quotes) = talk(&server).await;
    for (bad, expected) in [
        (request("", -1, "", 0), vec!["total_cents", "currency"]),
        (request("", i64::MAX, "EUR", 2), vec!["total_cents"]),
        (request("", 1, "EUR", 99), vec!["speed"]),
    ] {
        ask.send(bad).unwrap();
        let quote = soon(quotes.message()).await.unwrap().unwrap();
        let Some(Outcome::Rejection(rejection)) = quote.outcome else {
            panic!("no rejection: {quote:?}")
        };
        let fields: Vec<_> = rejection.violations.into_iter().map(|v| v.field).collect();
        assert_eq!(fields, expected);
    }
    ask.send(request("good", 1, "EUR", 0)).unwrap();
    price(&soon(quotes.message()).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_talk_ends_when_the_server_stops() {
    let server = Server::start().await;
    let (_ask, mut quotes) = talk(&server).await;
    server.signal(Signal::Terminate);
    assert_eq!(soon(quotes.message()).await.unwrap_err().code(), Code::Unavailable);
}
