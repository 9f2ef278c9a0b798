//! Where orders are kept: SQLite, through sqlx.

mod cannot_open;
mod lock;
mod open;
mod trouble;
mod write;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;
use sqlx::SqlitePool;
use tokio::sync::broadcast;

use crate::v1::{Order, OrderEvent};

pub use cannot_open::CannotOpen;
use lock::Lock;
pub use open::Database;
pub(crate) use open::beside;
pub use trouble::Trouble;

/// The orders, and what happened to them. A clone is the same store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Many may read at once.
    read: SqlitePool,
    /// SQLite has one writer at a time: here they queue, instead of finding the file locked.
    write: SqlitePool,
    /// The ids of orders to which something happened.
    changes: broadcast::Sender<Arc<str>>,
    held: Held,
}

/// What must be held as long as the store is open.
#[derive(Clone, Debug)]
enum Held {
    /// The lock that keeps other processes from serving the same file.
    File(Arc<Lock>),
    /// A connection that keeps a database in memory alive.
    Memory(SqlitePool),
}

/// An order to be kept; its fields are valid.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Who orders.
    pub customer_email: String,
    /// At least 0.
    pub total_cents: i64,
    /// ISO 4217.
    pub currency: String,
    /// Under this name the order is kept once only.
    pub idempotency_key: Option<String>,
}

/// What became of a [`NewOrder`].
#[derive(Debug)]
pub enum Kept {
    /// It was kept.
    New(Order),
    /// The same order was here already, under its idempotency key.
    Repeated(Order),
    /// Its idempotency key belongs to an order with other content.
    KeyReused,
}

/// What an order can be moved on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// After it was created.
    Shipped,
    /// After it was shipped.
    Delivered,
}

/// What became of the wish to move an order on.
#[derive(Debug)]
pub enum Advanced {
    /// It is, or was before, at that stage, by this event.
    At(OrderEvent),
    /// Another stage comes first.
    TooEarly,
    /// There is no such order.
    NoOrder,
}

/// An event, and its place among all events.
pub(crate) type Placed<T> = (i64, T);

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

/// Watchers that are further behind read anew.
const CHANGES: usize = 1024;

impl Store {
    fn new(read: SqlitePool, write: SqlitePool, held: Held) -> Self {
        Self { read, write, changes: broadcast::Sender::new(CHANGES), held }
    }

    /// The order with this id.
    pub async fn get(&self, id: &str) -> Result<Option<Order>, Trouble> {
        let row: Option<OrderRow> =
            sqlx::query_as(concat!("SELECT ", order_columns!(), " FROM orders WHERE id = ?1"))
                .bind(id)
                .fetch_optional(&self.read)
                .await?;
        Ok(row.map(|row| order(row).1))
    }

    /// At most `limit` orders after `place`, oldest first; an empty `customer_email` is everybody's.
    ///
    /// They are fetched as a whole: a caller that reads slowly does not hold a connection.
    pub(crate) async fn page(
        &self,
        customer_email: &str,
        place: i64,
        limit: usize,
    ) -> Result<Vec<Placed<Order>>, Trouble> {
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
            .bind(place)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().map(order).collect())
    }

    /// The newest event of an order; every order has one.
    pub(crate) async fn latest_event(
        &self,
        id: &str,
    ) -> Result<Option<Placed<OrderEvent>>, Trouble> {
        let row: Option<EventRow> = sqlx::query_as(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events WHERE order_id = ?1 ORDER BY seq DESC LIMIT 1"
        ))
        .bind(id)
        .fetch_optional(&self.read)
        .await?;
        Ok(row.map(event))
    }

    /// The events of an order after `place`, in order.
    pub(crate) async fn events_after(
        &self,
        id: &str,
        place: i64,
    ) -> Result<Vec<Placed<OrderEvent>>, Trouble> {
        let rows: Vec<EventRow> = sqlx::query_as(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events WHERE order_id = ?1 AND seq > ?2 ORDER BY seq"
        ))
        .bind(id)
        .bind(place)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().map(event).collect())
    }

    /// Tells the id of an order whenever something happened to it. What happened is to be read from the
    /// store: two changes may be told in the other order, or one of them twice. Changes by another process
    /// on the same file are not told.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<str>> {
        self.changes.subscribe()
    }

    /// Ends every connection, once what is running on it is done.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
        match &self.held {
            Held::File(lock) => lock.release(),
            Held::Memory(keep) => keep.close().await,
        }
    }
}

fn order(row: OrderRow) -> Placed<Order> {
    let (place, id, customer_email, total_cents, currency, created_at) = row;
    let order = Order {
        id,
        customer_email,
        total_cents,
        currency,
        created_at: Some(timestamp(created_at)),
    };
    (place, order)
}

fn event(row: EventRow) -> Placed<OrderEvent> {
    let (place, id, event_type, ts) = row;
    let event = OrderEvent { id, event_type, ts: Some(timestamp(ts)) };
    (place, event)
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
