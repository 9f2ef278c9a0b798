//! `CreateOrder`.

use tonic::{Code, Status};

use crate::status::{quoted, with_reason};
use crate::store::{CreateOutcome, Store};
use crate::v1::{CreateOrderRequest, Order};
use crate::validate;

pub(super) async fn create(store: &Store, request: CreateOrderRequest) -> Result<Order, Status> {
    let key = request.idempotency_key.clone();
    match store.create(validate::new_order(request)?).await? {
        CreateOutcome::Created(order) | CreateOutcome::Repeated(order) => Ok(order),
        CreateOutcome::KeyReused => Err(with_reason(
            Code::AlreadyExists,
            "IDEMPOTENCY_KEY_REUSED",
            key_reused(&key),
            &[("idempotency_key", &key)],
        )),
    }
}

pub(super) fn key_reused(key: &str) -> String {
    format!("idempotency key {} belongs to an order with different content", quoted(key))
}
