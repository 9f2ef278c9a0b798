//! `ImportOrders`: each order for itself. A caller that goes away looks like one that is done, so
//! "all or nothing" could keep half of what was meant, and say so to nobody.

use tonic::{Status, Streaming};

use super::create::key_reused;
use crate::store::{Kept, Store};
use crate::v1::{CreateOrderRequest, ImportFailure, ImportOrdersResponse, Rejection, rejection};
use crate::validate;

/// More are counted, not told: the answer stays small.
const MOST_FAILURES: usize = 100;

pub(super) async fn import(
    store: &Store,
    mut requests: Streaming<CreateOrderRequest>,
) -> Result<ImportOrdersResponse, Status> {
    let mut answer = ImportOrdersResponse::default();
    let mut index = 0;
    while let Some(request) = requests.message().await? {
        match one(store, request).await? {
            Taken::New => answer.created += 1,
            Taken::Repeated => answer.repeated += 1,
            Taken::Not(rejection) => {
                answer.rejected += 1;
                if answer.failures.len() < MOST_FAILURES {
                    answer.failures.push(ImportFailure { index, rejection: Some(rejection) });
                }
            }
        }
        index += 1;
    }
    Ok(answer)
}

enum Taken {
    New,
    Repeated,
    Not(Rejection),
}

async fn one(store: &Store, request: CreateOrderRequest) -> Result<Taken, Status> {
    let key = request.idempotency_key.clone();
    let order = match validate::new_order(request) {
        Ok(order) => order,
        Err(violations) => return Ok(Taken::Not(violations.into())),
    };
    Ok(match store.create(order).await? {
        Kept::New(_) => Taken::New,
        Kept::Repeated(_) => Taken::Repeated,
        Kept::KeyReused => Taken::Not(Rejection {
            reason: rejection::Reason::KeyReused.into(),
            message: key_reused(&key),
            violations: Vec::new(),
        }),
    })
}
