//! What changes the store. Each change is one transaction, and a change to an order that was there is told
//! to the watchers after it.

use std::sync::Arc;

use sqlx::{Sqlite, SqliteConnection, Transaction};
use tracing::Instrument;

use super::{
    Advanced, EventRow, Kept, NewOrder, OrderRow, Stage, Store, Trouble, event, event_columns, now,
    order, order_columns,
};
use crate::v1::{Order, OrderEvent};

impl Stage {
    fn event_type(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
        }
    }

    fn comes_after(self) -> &'static str {
        match self {
            Self::Shipped => "created",
            Self::Delivered => "shipped",
        }
    }
}

impl Store {
    /// Keeps an order, once per idempotency key.
    pub async fn create(&self, new: NewOrder) -> Result<Kept, Trouble> {
        let store = self.clone();
        to_its_end(async move {
            let mut tx = store.begin().await?;
            if let Some(first) = keyed(&mut tx, new.idempotency_key.as_deref()).await? {
                return Ok(if same(&first, &new) {
                    Kept::Repeated(first)
                } else {
                    Kept::KeyReused
                });
            }
            let now = now();
            let kept = insert_order(&mut tx, &new, now).await?;
            insert_event(&mut tx, &kept.id, "created", now).await?;
            tx.commit().await?;
            // Nobody watches it: nobody knows its id before this.
            Ok(Kept::New(kept))
        })
        .await
    }

    /// Moves an order on to `stage`; if it has been there, nothing changes.
    pub async fn advance(&self, id: &str, stage: Stage) -> Result<Advanced, Trouble> {
        let store = self.clone();
        let id = id.to_owned();
        to_its_end(async move {
            let mut tx = store.begin().await?;
            if let Some(before) = event_of(&mut tx, &id, stage.event_type()).await? {
                return Ok(Advanced::At(before));
            }
            if event_of(&mut tx, &id, stage.comes_after()).await?.is_none() {
                return Ok(match event_of(&mut tx, &id, "created").await? {
                    Some(_) => Advanced::TooEarly,
                    None => Advanced::NoOrder,
                });
            }
            let event = insert_event(&mut tx, &id, stage.event_type(), now()).await?;
            tx.commit().await?;
            store.changed(&id);
            Ok(Advanced::At(event))
        })
        .await
    }

    /// The write lock is taken at once: one that reads first and writes later can find that another
    /// process wrote in between, and has to give up.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, Trouble> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    fn changed(&self, id: &str) {
        // An error says that nobody watches.
        _ = self.changes.send(Arc::from(id));
    }
}

/// Does `work` even if the caller goes away meanwhile: between the commit and the news of it a change
/// would be lost to the watchers.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Trouble::stopped()),
        },
    }
}

async fn keyed(tx: &mut SqliteConnection, key: Option<&str>) -> Result<Option<Order>, Trouble> {
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
) -> Result<Order, Trouble> {
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
    event_type: &str,
    now: i64,
) -> Result<OrderEvent, Trouble> {
    let row: EventRow = sqlx::query_as(concat!(
        "INSERT INTO events (order_id, event_type, ts) VALUES (?1, ?2, ?3) RETURNING ",
        event_columns!()
    ))
    .bind(id)
    .bind(event_type)
    .bind(now)
    .fetch_one(tx)
    .await?;
    Ok(event(row).1)
}

async fn event_of(
    tx: &mut SqliteConnection,
    id: &str,
    event_type: &str,
) -> Result<Option<OrderEvent>, Trouble> {
    let row: Option<EventRow> = sqlx::query_as(concat!(
        "SELECT ",
        event_columns!(),
        " FROM events WHERE order_id = ?1 AND event_type = ?2"
    ))
    .bind(id)
    .bind(event_type)
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| event(row).1))
}

/// 128 random bits: nobody can guess another's order.
fn random_id() -> Result<String, Trouble> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| sqlx::Error::Io(std::io::Error::other(error.to_string())))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
