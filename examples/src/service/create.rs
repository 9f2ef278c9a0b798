//! `CreateOrder`.

use tonic::{Code, Status};

use crate::refusal::{quoted, refusal};
use crate::store::{Kept, Store};
use crate::v1::{CreateOrderRequest, Order};
use crate::validate;

pub(super) async fn create(store: &Store, request: CreateOrderRequest) -> Result<Order, Status> {
    let key = request.idempotency_key.clone();
    match store.create(validate::new_order(request)?).await? {
        Kept::New(order) | Kept::Repeated(order) => Ok(order),
        Kept::KeyReused => Err(refusal(
            Code::AlreadyExists,
            "IDEMPOTENCY_KEY_REUSED",
            key_reused(&key),
            &[("idempotency_key", &key)],
        )),
    }
}

pub(super) fn key_reused(key: &str) -> String {
    format!("idempotency key {} belongs to an order with other content", quoted(key))
}
