//! Reads an order, and moves it to its next stage.

use tonic::{Code, Status};

use crate::status::{order_not_found, quoted, with_reason};
use crate::store::{AdvanceOutcome, Event, Order, Stage, Store};

pub(super) async fn get(store: &Store, id: &str) -> Result<Order, Status> {
    store.get(id).await?.ok_or_else(|| order_not_found(id))
}

pub(super) async fn advance(store: &Store, id: &str, stage: Stage) -> Result<Event, Status> {
    match store.advance(id, stage).await? {
        AdvanceOutcome::Reached(event) => Ok(event),
        AdvanceOutcome::NotFound => Err(order_not_found(id)),
        AdvanceOutcome::TooEarly => Err(with_reason(
            Code::FailedPrecondition,
            "ORDER_NOT_SHIPPED",
            format!("order {} has not been shipped yet", quoted(id)),
            &[("id", id)],
        )),
    }
}
