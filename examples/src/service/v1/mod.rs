//! `orders.v1.OrderService`.

mod messages;

use futures_util::StreamExt;
use tonic::codegen::{BoxStream, tokio_stream};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Streaming};

use super::{Orders, RpcResult, advance, create, import, list, watch};
use crate::drain::EndsSoon;
use crate::fields::CallFields;
use crate::page::{NEXT_PAGE_TOKEN, Page};
use crate::panics;
use crate::store::Stage;
use crate::v1::order_service_server::OrderService;
use crate::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ImportOrdersResponse,
    ListOrdersRequest, Order, OrderEvent, OrderStage, Quote, QuoteRequest, WatchOrderRequest,
};
use crate::validate::{self, Violations};

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(&self, request: Request<CreateOrderRequest>) -> RpcResult<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let new = messages::new_order(request.into_inner())?;
        let order = create::create(&self.store, new).await?;
        fields.order(&order.id);
        Ok(Response::new(order.into()))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> RpcResult<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let id = valid_id(request.into_inner().id)?;
        fields.order(&id);
        let order = advance::get(&self.store, &id).await?;
        Ok(Response::new(order.into()))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> RpcResult<BoxStream<Order>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let request = request.into_inner();
        let email = request.customer_email;
        let mut violations = Violations::default();
        let (size, token) = (request.page_size, &request.page_token);
        let page = Page::new(&mut violations, size, token, NEXT_PAGE_TOKEN, &email);
        let listed = list::list(&self.store, violations.or(page)?, &email).await?;

        let orders = listed.orders.into_iter().map(|order| Ok(order.into()));
        let orders = panics::stream(fault.into(tokio_stream::iter(orders)));
        let mut response = Response::new(orders);
        // The whole page is in memory: a server that shuts down still sends it.
        response.extensions_mut().insert(EndsSoon);
        let next = listed.next.and_then(|token| MetadataValue::try_from(token).ok());
        if let Some(token) = next {
            response.metadata_mut().insert(NEXT_PAGE_TOKEN, token);
        }
        Ok(response)
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> RpcResult<BoxStream<OrderEvent>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let id = valid_id(request.into_inner().id)?;
        fields.order(&id);
        let events = watch::watch(self.store.clone(), id).await?;
        let events = events.map(|event| event.map(Into::into));
        Ok(Response::new(panics::stream(fault.into(events))))
    }

    async fn advance_order(&self, request: Request<AdvanceOrderRequest>) -> RpcResult<OrderEvent> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let request = request.into_inner();
        let mut violations = Violations::default();
        validate::id(&mut violations, "id", &request.id);
        let stage = match request.stage() {
            OrderStage::Shipped => Stage::Shipped,
            OrderStage::Delivered => Stage::Delivered,
            OrderStage::Unspecified => {
                violations.add("stage", "must be ORDER_STAGE_SHIPPED or ORDER_STAGE_DELIVERED");
                return Err(violations.into());
            }
        };
        let id = violations.or(request.id)?;
        fields.order(&id);
        let event = advance::advance(&self.store, &id, stage).await?;
        Ok(Response::new(event.into()))
    }

    async fn import_orders(
        &self,
        request: Request<Streaming<CreateOrderRequest>>,
    ) -> RpcResult<ImportOrdersResponse> {
        self.faults.before_message(request.metadata()).await?;
        let requests = request.into_inner();
        let imported = import::import(&self.store, requests, messages::new_order).await?;
        Ok(Response::new(imported.into()))
    }

    async fn quote_orders(
        &self,
        request: Request<Streaming<QuoteRequest>>,
    ) -> RpcResult<BoxStream<Quote>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let quotes = request.into_inner().map(|request| request.map(messages::quote));
        Ok(Response::new(panics::stream(fault.into(quotes))))
    }
}

fn valid_id(id: String) -> Result<String, Violations> {
    let mut violations = Violations::default();
    validate::id(&mut violations, "id", &id);
    violations.or(id)
}
