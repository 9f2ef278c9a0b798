//! Imports orders. Each is stored by itself: a caller that leaves looks like one that has finished, so an "all or
//! nothing" import could store half of the orders without anyone knowing.

use tonic::{Status, Streaming};

use crate::store::{CreateOutcome, NewOrder, Store};
use crate::validate::Violations;

/// Further failures are only counted, so that the response stays small.
const MAX_FAILURES: usize = 100;

/// The result of an import.
#[derive(Default)]
pub(super) struct Import {
    pub(super) created: i64,
    pub(super) repeated: i64,
    pub(super) rejected: i64,
    /// The first failures, with the index of their message in the stream.
    pub(super) failures: Vec<(i64, Failure)>,
}

/// Why an order was refused.
pub(super) enum Failure {
    Invalid(Violations),
    /// The idempotency key belongs to an order with other content.
    KeyReused(String),
}

/// Stores each order that `read` makes of a request.
pub(super) async fn import<T>(
    store: &Store,
    mut requests: Streaming<T>,
    read: impl Fn(T) -> Result<NewOrder, Violations>,
) -> Result<Import, Status> {
    let mut import = Import::default();
    let mut index = 0;
    while let Some(request) = requests.message().await? {
        let failure = match read(request) {
            Ok(new) => store_one(store, new, &mut import).await?,
            Err(violations) => Some(Failure::Invalid(violations)),
        };
        if let Some(failure) = failure {
            import.rejected += 1;
            if import.failures.len() < MAX_FAILURES {
                import.failures.push((index, failure));
            }
        }
        index += 1;
    }
    Ok(import)
}

async fn store_one(
    store: &Store,
    new: NewOrder,
    import: &mut Import,
) -> Result<Option<Failure>, Status> {
    let key = new.idempotency_key.clone().unwrap_or_default();
    match store.create(new).await? {
        CreateOutcome::Created(_) => import.created += 1,
        CreateOutcome::Repeated(_) => import.repeated += 1,
        CreateOutcome::KeyReused => return Ok(Some(Failure::KeyReused(key))),
    }
    Ok(None)
}
