//! Lists orders, one page at a time.

use tonic::Status;

use crate::page::{self, Page};
use crate::store::{Order, Store};

/// One page of orders.
pub(super) struct Listed {
    pub(super) orders: Vec<Order>,
    /// The token of the next page; `None` after the last one.
    pub(super) next: Option<String>,
}

/// The page of the orders of this customer, or of all orders if it is empty.
pub(super) async fn list(
    store: &Store,
    page: Page,
    customer_email: &str,
) -> Result<Listed, Status> {
    // One more than requested, to know whether there is a next page.
    let mut orders = store.page(customer_email, page.after, page.size + 1).await?;
    let more = orders.len() > page.size;
    orders.truncate(page.size);
    let next = orders.last().filter(|_| more).map(|(seq, _)| page::token(*seq, customer_email));
    Ok(Listed { orders: orders.into_iter().map(|(_, order)| order).collect(), next })
}
