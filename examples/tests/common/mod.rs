//! Shared by the tests: a server in this process, and a server in its own process.

#![allow(dead_code)]

pub mod certificates;
#[cfg(unix)]
pub mod client;
#[cfg(unix)]
pub mod collector;
pub mod frames;
pub mod issuer;
#[cfg(unix)]
pub mod process;
pub mod server;
pub mod v2;
pub mod web;

use std::time::Duration;

use orders::v1::CreateOrderRequest;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Much longer than any step takes: a test that waits for something that does not happen fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// The result of `wait`, or a panic after that time.
pub async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("waited in vain")
}

pub fn order(email: &str, total_cents: i64) -> CreateOrderRequest {
    CreateOrderRequest {
        customer_email: email.to_owned(),
        total_cents,
        currency: "EUR".to_owned(),
        idempotency_key: String::new(),
    }
}

pub fn keyed(email: &str, total_cents: i64, key: &str) -> CreateOrderRequest {
    CreateOrderRequest { idempotency_key: key.to_owned(), ..order(email, total_cents) }
}

/// The names of the invalid fields.
pub fn wrong_fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().expect("a BadRequest");
    let fields = details.field_violations.into_iter();
    fields.map(|violation| violation.field).collect()
}

/// The reason of a refusal.
pub fn reason(status: &Status) -> String {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "orders.v1");
    info.reason
}
