//! `ImportOrders`. Each order is stored by itself: a caller that leaves looks like one that has finished, so an
//! "all or nothing" import could store half of the orders without anyone knowing.

use tonic::{Status, Streaming};

use super::create::key_reused;
use crate::store::{CreateOutcome, Store};
use crate::v1::{CreateOrderRequest, ImportFailure, ImportOrdersResponse, Rejection, rejection};
use crate::validate;

/// Further failures are only counted, so that the response stays small.
const MAX_FAILURES: usize = 100;

pub(super) async fn import(
    store: &Store,
    mut requests: Streaming<CreateOrderRequest>,
) -> Result<ImportOrdersResponse, Status> {
    let mut response = ImportOrdersResponse::default();
    let mut index = 0;
    while let Some(request) = requests.message().await? {
        match import_one(store, request).await? {
            Imported::Created => response.created += 1,
            Imported::Repeated => response.repeated += 1,
            Imported::Rejected(rejection) => {
                response.rejected += 1;
                if response.failures.len() < MAX_FAILURES {
                    response.failures.push(ImportFailure { index, rejection: Some(rejection) });
                }
            }
        }
        index += 1;
    }
    Ok(response)
}

enum Imported {
    Created,
    Repeated,
    Rejected(Rejection),
}

async fn import_one(store: &Store, request: CreateOrderRequest) -> Result<Imported, Status> {
    let key = request.idempotency_key.clone();
    let order = match validate::new_order(request) {
        Ok(order) => order,
        Err(violations) => return Ok(Imported::Rejected(violations.into())),
    };
    Ok(match store.create(order).await? {
        CreateOutcome::Created(_) => Imported::Created,
        CreateOutcome::Repeated(_) => Imported::Repeated,
        CreateOutcome::KeyReused => Imported::Rejected(Rejection {
            reason: rejection::Reason::KeyReused.into(),
            message: key_reused(&key),
            violations: Vec::new(),
        }),
    })
}
