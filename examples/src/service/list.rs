//! `ListOrders`.

use tonic::codegen::tokio_stream::{self, Stream};
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use crate::drain::EndsSoon;
use crate::page::{self, NEXT_PAGE_TOKEN, Page};
use crate::store::Store;
use crate::v1::{ListOrdersRequest, Order};
use crate::validate::Violations;

pub(super) async fn list(
    store: &Store,
    request: ListOrdersRequest,
) -> Result<Response<impl Stream<Item = Result<Order, Status>> + Send + 'static>, Status> {
    let email = request.customer_email;
    let mut violations = Violations::default();
    let page = Page::new(&mut violations, request.page_size, &request.page_token, &email);
    let page = violations.or(page)?;

    // One more than requested, to know whether there is a next page.
    let mut orders = store.page(&email, page.after, page.size + 1).await?;
    let more = orders.len() > page.size;
    orders.truncate(page.size);
    let next = orders
        .last()
        .filter(|_| more)
        .and_then(|(seq, _)| MetadataValue::try_from(page::token(*seq, &email)).ok());

    let orders = orders.into_iter().map(|(_, order)| Ok(order));
    let mut response = Response::new(tokio_stream::iter(orders));
    // The whole page is in memory: a server that shuts down still sends it.
    response.extensions_mut().insert(EndsSoon);
    if let Some(token) = next {
        response.metadata_mut().insert(NEXT_PAGE_TOKEN, token);
    }
    Ok(response)
}
