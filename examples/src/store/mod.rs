//! Stores orders and their events in SQLite.

mod database;
mod error;
mod lock;
mod open;
mod open_error;
mod order;
mod probe;
mod write;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use sqlx::SqlitePool;
use tokio::sync::broadcast;

pub use database::Database;
pub(crate) use database::beside;
pub use error::StoreError;
use lock::FileLock;
pub use open_error::OpenError;
pub use order::{Event, Order, Stage};
use probe::OpenedFile;

/// The orders and their events. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Connections for reading.
    read: SqlitePool,
    /// One connection: SQLite allows one writer at a time, and writers wait for it instead of failing.
    write: SqlitePool,
    /// The ids of orders that have changed.
    changes: broadcast::Sender<Arc<str>>,
    keep_alive: KeepAlive,
}

/// What must live as long as the store.
#[derive(Clone, Debug)]
enum KeepAlive {
    /// The lock that keeps other processes from using the same file, and the file.
    File(Arc<(FileLock, OpenedFile)>),
    /// A connection that keeps a database in memory alive.
    Memory(SqlitePool),
}

/// A valid order that is not stored yet.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// E-mail address of the customer.
    pub customer_email: String,
    /// Total in hundredths of the currency, at least 0.
    pub total_cents: i64,
    /// ISO 4217 currency code.
    pub currency: String,
    /// An order with the same key is stored only once.
    pub idempotency_key: Option<String>,
}

/// The result of [`Store::create`].
#[derive(Debug)]
pub enum CreateOutcome {
    /// The order was stored.
    Created(Order),
    /// The same order had been stored with the same idempotency key.
    Repeated(Order),
    /// The idempotency key belongs to an order with other content.
    KeyReused,
}

/// The result of [`Store::advance`].
#[derive(Debug)]
pub enum AdvanceOutcome {
    /// The order reached the stage with this event, now or before.
    Reached(Event),
    /// The order has not reached the stage before it.
    TooEarly,
    /// There is no such order.
    NotFound,
}

/// A row, and its sequence number in its table.
pub(crate) type Sequenced<T> = (i64, T);

type OrderRow = (i64, String, String, i64, String, i64);
type EventRow = (i64, String, String, i64);

/// The columns of an `OrderRow`.
macro_rules! order_columns {
    () => {
        "seq, id, customer_email, total_cents, currency, created_at"
    };
}
/// The columns of an `EventRow`.
macro_rules! event_columns {
    () => {
        "seq, order_id, event_type, ts"
    };
}
use {event_columns, order_columns};

/// Capacity of the channel of changes. A watcher that misses some reads the store.
const MAX_CHANGES: usize = 1024;

impl Store {
    fn new(read: SqlitePool, write: SqlitePool, keep_alive: KeepAlive) -> Self {
        Self { read, write, changes: broadcast::Sender::new(MAX_CHANGES), keep_alive }
    }

    /// The order with this id.
    pub async fn get(&self, id: &str) -> Result<Option<Order>, StoreError> {
        let row: Option<OrderRow> =
            sqlx::query_as(concat!("SELECT ", order_columns!(), " FROM orders WHERE id = ?1"))
                .bind(id)
                .fetch_optional(&self.read)
                .await?;
        Ok(row.map(|row| order(row).1))
    }

    /// At most `limit` orders after the sequence number `seq`, oldest first; an empty `customer_email` selects all
    /// customers.
    ///
    /// All of them are read at once: a caller that reads slowly does not occupy a connection.
    pub(crate) async fn page(
        &self,
        customer_email: &str,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<Sequenced<Order>>, StoreError> {
        let sql = if customer_email.is_empty() {
            concat!(
                "SELECT ",
                order_columns!(),
                " FROM orders WHERE ?1 = '' AND seq > ?2 ORDER BY seq LIMIT ?3"
            )
        } else {
            concat!(
                "SELECT ",
                order_columns!(),
                " FROM orders WHERE customer_email = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3"
            )
        };
        let rows: Vec<OrderRow> = sqlx::query_as(sql)
            .bind(customer_email)
            .bind(seq)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().map(order).collect())
    }

    /// The newest event of an order; every order has one.
    pub(crate) async fn latest_event(
        &self,
        id: &str,
    ) -> Result<Option<Sequenced<Event>>, StoreError> {
        let row: Option<EventRow> = sqlx::query_as(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events WHERE order_id = ?1 ORDER BY seq DESC LIMIT 1"
        ))
        .bind(id)
        .fetch_optional(&self.read)
        .await?;
        row.map(event).transpose()
    }

    /// The events of an order after the sequence number `seq`, in order.
    pub(crate) async fn events_after(
        &self,
        id: &str,
        seq: i64,
    ) -> Result<Vec<Sequenced<Event>>, StoreError> {
        let rows: Vec<EventRow> = sqlx::query_as(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events WHERE order_id = ?1 AND seq > ?2 ORDER BY seq"
        ))
        .bind(id)
        .bind(seq)
        .fetch_all(&self.read)
        .await?;
        rows.into_iter().map(event).collect()
    }

    /// Receives the id of each order that changes. The change itself must be read from the store: two changes may
    /// arrive in reverse order, or one of them twice. Changes by other processes are not received.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }

    /// The file of the database, unless it is in memory.
    fn file(&self) -> Option<&OpenedFile> {
        match &self.keep_alive {
            KeepAlive::File(opened) => Some(&opened.1),
            KeepAlive::Memory(_) => None,
        }
    }

    /// Closes all connections, after the queries that run on them.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
        match &self.keep_alive {
            KeepAlive::File(opened) => opened.0.release(),
            KeepAlive::Memory(pool) => pool.close().await,
        }
    }
}

fn order(row: OrderRow) -> Sequenced<Order> {
    let (seq, id, customer_email, total_cents, currency, created_at) = row;
    let created_at = timestamp(created_at);
    (seq, Order { id, customer_email, total_cents, currency, created_at })
}

fn event(row: EventRow) -> Result<Sequenced<Event>, StoreError> {
    let (seq, order_id, event_type, ts) = row;
    let stage = Stage::of(&event_type).ok_or_else(|| StoreError::unknown_event(&event_type))?;
    Ok((seq, Event { order_id, stage, at: timestamp(ts) }))
}

fn timestamp(microseconds: i64) -> Timestamp {
    let nanos = microseconds.rem_euclid(1_000_000) * 1_000;
    Timestamp {
        seconds: microseconds.div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or(0),
    }
}

/// Microseconds since 1970; 0 for a clock before it.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(i64::MAX)
}
