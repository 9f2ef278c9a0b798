//! What is stored. The messages of the API are made from it.

use prost_types::Timestamp;

/// An order. It never changes; its progress is recorded in [`Event`]s.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Unique id.
    pub id: String,
    /// E-mail address of the customer.
    pub customer_email: String,
    /// Total in hundredths of the currency, at least 0.
    pub total_cents: i64,
    /// ISO 4217 currency code.
    pub currency: String,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A stage that an order has reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Id of the order.
    pub order_id: String,
    /// The stage.
    pub stage: Stage,
    /// When the order reached it.
    pub at: Timestamp,
}

/// A stage of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The first one.
    Created,
    /// After it was created.
    Shipped,
    /// After it was shipped.
    Delivered,
}

impl Stage {
    /// Its name in the database, and in `orders.v1`.
    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
        }
    }

    pub(super) fn of(event_type: &str) -> Option<Self> {
        let all = [Self::Created, Self::Shipped, Self::Delivered];
        all.into_iter().find(|stage| stage.event_type() == event_type)
    }

    pub(super) fn previous(self) -> Option<Self> {
        match self {
            Self::Created => None,
            Self::Shipped => Some(Self::Created),
            Self::Delivered => Some(Self::Shipped),
        }
    }
}
