//! `ListOrders`.

use tonic::codegen::tokio_stream::{self, Stream};
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use crate::drain_layer::Ends;
use crate::page::{self, NEXT_PAGE_TOKEN, Page};
use crate::store::Store;
use crate::v1::{ListOrdersRequest, Order};
use crate::validate::Violations;

pub(super) async fn list(
    store: &Store,
    request: ListOrdersRequest,
) -> Result<Response<impl Stream<Item = Result<Order, Status>> + Send + 'static>, Status> {
    let email = request.customer_email;
    let mut wrong = Violations::default();
    let page = Page::new(&mut wrong, request.page_size, &request.page_token, &email);
    let page = wrong.or(page)?;

    // One more than asked for tells whether there is a next page.
    let mut orders = store.page(&email, page.after, page.size + 1).await?;
    let more = orders.len() > page.size;
    orders.truncate(page.size);
    let next = orders
        .last()
        .filter(|_| more)
        .and_then(|(place, _)| MetadataValue::try_from(page::token(*place, &email)).ok());

    let orders = orders.into_iter().map(|(_, order)| Ok(order));
    let mut response = Response::new(tokio_stream::iter(orders));
    // All of the page is here: a server that stops sends it still.
    response.extensions_mut().insert(Ends);
    if let Some(token) = next {
        response.metadata_mut().insert(NEXT_PAGE_TOKEN, token);
    }
    Ok(response)
}
