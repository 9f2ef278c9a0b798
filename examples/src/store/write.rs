//! Changes of the store. Each is one transaction; watchers are notified after it.

use std::sync::Arc;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use tracing::Instrument;

use super::{
    AdvanceOutcome, CreateOutcome, Event, EventRow, NewOrder, Order, OrderRow, Stage, Store,
    StoreError, event, event_columns, now, order, order_columns,
};

impl Store {
    /// Stores an order, once per idempotency key.
    pub async fn create(&self, new: NewOrder) -> Result<CreateOutcome, StoreError> {
        let store = self.clone();
        run_to_completion(async move {
            let mut tx = store.begin().await?;
            if let Some(first) = order_with_key(&mut tx, new.idempotency_key.as_deref()).await? {
                return Ok(if same(&first, &new) {
                    CreateOutcome::Repeated(first)
                } else {
                    CreateOutcome::KeyReused
                });
            }
            let now = now();
            let created = insert_order(&mut tx, &new, now).await?;
            insert_event(&mut tx, &created.id, Stage::Created, now).await?;
            tx.commit().await?;
            // There are no watchers to notify: its id was unknown until now.
            Ok(CreateOutcome::Created(created))
        })
        .await
    }

    /// Moves an order to `stage`; if it has reached the stage before, nothing changes.
    pub async fn advance(&self, id: &str, stage: Stage) -> Result<AdvanceOutcome, StoreError> {
        let store = self.clone();
        let id = id.to_owned();
        run_to_completion(async move {
            let mut tx = store.begin().await?;
            if let Some(before) = event_of(&mut tx, &id, stage).await? {
                return Ok(AdvanceOutcome::Reached(before));
            }
            let Some(previous) = stage.previous() else { return Ok(AdvanceOutcome::NotFound) };
            if event_of(&mut tx, &id, previous).await?.is_none() {
                return Ok(match event_of(&mut tx, &id, Stage::Created).await? {
                    Some(_) => AdvanceOutcome::TooEarly,
                    None => AdvanceOutcome::NotFound,
                });
            }
            let event = insert_event(&mut tx, &id, stage, now()).await?;
            tx.commit().await?;
            store.notify(&id);
            Ok(AdvanceOutcome::Reached(event))
        })
        .await
    }

    /// Takes the write lock at once: a transaction that reads first and writes later fails if another process has
    /// written in between.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn notify(&self, id: &str) {
        // An error: there are no watchers.
        _ = self.changes.send(Arc::from(id));
    }
}

/// Completes `work` even if the caller leaves: watchers would miss a change that is committed and not notified.
async fn run_to_completion<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(StoreError::stopped()),
        },
    }
}

async fn order_with_key(
    tx: &mut SqliteConnection,
    key: Option<&str>,
) -> Result<Option<Order>, StoreError> {
    let Some(key) = key else { return Ok(None) };
    let row: Option<OrderRow> = sqlx::query_as(concat!(
        "SELECT ",
        order_columns!(),
        " FROM orders WHERE idempotency_key = ?1"
    ))
    .bind(key)
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| order(row).1))
}

fn same(first: &Order, new: &NewOrder) -> bool {
    first.customer_email == new.customer_email
        && first.total_cents == new.total_cents
        && first.currency == new.currency
}

async fn insert_order(
    tx: &mut SqliteConnection,
    new: &NewOrder,
    now: i64,
) -> Result<Order, StoreError> {
    let row: OrderRow = sqlx::query_as(concat!(
        "INSERT INTO orders \
             (id, customer_email, total_cents, currency, idempotency_key, created_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING ",
        order_columns!()
    ))
    .bind(random_id()?)
    .bind(&new.customer_email)
    .bind(new.total_cents)
    .bind(&new.currency)
    .bind(&new.idempotency_key)
    .bind(now)
    .fetch_one(tx)
    .await?;
    Ok(order(row).1)
}

async fn insert_event(
    tx: &mut SqliteConnection,
    id: &str,
    stage: Stage,
    now: i64,
) -> Result<Event, StoreError> {
    let row: EventRow = sqlx::query_as(concat!(
        "INSERT INTO events (order_id, event_type, ts) VALUES (?1, ?2, ?3) RETURNING ",
        event_columns!()
    ))
    .bind(id)
    .bind(stage.event_type())
    .bind(now)
    .fetch_one(tx)
    .await?;
    Ok(event(row)?.1)
}

async fn event_of(
    tx: &mut SqliteConnection,
    id: &str,
    stage: Stage,
) -> Result<Option<Event>, StoreError> {
    let row: Option<EventRow> = sqlx::query_as(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events WHERE order_id = ?1 AND event_type = ?2"
    ))
    .bind(id)
    .bind(stage.event_type())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(event).transpose()?.map(|(_, event)| event))
}

/// 128 random bits: ids cannot be guessed.
fn random_id() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
