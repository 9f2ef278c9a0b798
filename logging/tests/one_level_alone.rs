//! An output may accept only one level, even one that excludes errors.
//!
//! In its own process, because `tracing` caches interest for all threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Capture, Lines, call, layer, stream, to};
use tonic::Status;
use tonic_call::Side;
use tracing::Level;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

#[tokio::test]
async fn an_output_for_one_level_gets_the_lines_of_that_level() {
    let filter = filter_fn(|metadata| *metadata.level() == Level::DEBUG);
    let subscriber = tracing_subscriber::registry().with(filter).with(Capture);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let lines = Lines::of_this_thread();
    // On a client, successful calls are logged at `DEBUG`.
    call(&layer(Side::Client), to("/a.B/C"), || Ok(stream(1, &Status::ok("")))).await;
    assert_eq!(lines.take_only().level, Level::DEBUG);
    call(&layer(Side::Client), to("/a.B/C"), || Ok(stream(1, &Status::internal("")))).await;
    lines.none();

    let starts = layer(Side::Client).starts(Level::DEBUG).level(|_| Some(Level::TRACE));
    call(&starts, to("/a.B/C"), || Ok(stream(1, &Status::ok("")))).await;
    let seen = lines.take();
    assert!(matches!(&seen[..], [seen] if seen.message() == "started call"), "{seen:#?}");
}
