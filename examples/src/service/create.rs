//! Creates an order.

use tonic::{Code, Status};

use crate::status::{quoted, with_reason};
use crate::store::{CreateOutcome, NewOrder, Order, Store};

pub(super) async fn create(store: &Store, new: NewOrder) -> Result<Order, Status> {
    let key = new.idempotency_key.clone().unwrap_or_default();
    match store.create(new).await? {
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
