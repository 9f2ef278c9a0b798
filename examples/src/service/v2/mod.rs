//! `orders.v2.OrderService`.

mod money;
mod requests;
mod responses;

use futures_util::StreamExt;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Streaming};

use super::{Orders, RpcResult, advance, create, import, list, watch};
use crate::fields::CallFields;
use crate::panics;
use crate::v2::order_service_server::OrderService;
use crate::v2::{
    AdvanceOrderRequest, AdvanceOrderResponse, CreateOrderRequest, CreateOrderResponse,
    GetOrderRequest, GetOrderResponse, ImportOrdersRequest, ImportOrdersResponse,
    ListOrdersRequest, ListOrdersResponse, QuoteOrdersRequest, QuoteOrdersResponse,
    WatchOrderRequest, WatchOrderResponse,
};

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> RpcResult<CreateOrderResponse> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let CreateOrderRequest { order, idempotency_key } = request.into_inner();
        let new = requests::new_order(order, idempotency_key)?;
        let order = create::create(&self.store, new).await?;
        fields.order(&order.id);
        Ok(Response::new(CreateOrderResponse { order: Some(order.into()) }))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> RpcResult<GetOrderResponse> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let id = requests::order_id(request.into_inner().order_id)?;
        fields.order(&id);
        let order = advance::get(&self.store, &id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(order.into()) }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> RpcResult<ListOrdersResponse> {
        self.faults.before_message(request.metadata()).await?;
        let (page, email) = requests::page(request.into_inner())?;
        let listed = list::list(&self.store, page, &email).await?;
        Ok(Response::new(listed.into()))
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> RpcResult<BoxStream<WatchOrderResponse>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let id = requests::order_id(request.into_inner().order_id)?;
        fields.order(&id);
        let events = watch::watch(self.store.clone(), id).await?;
        let events =
            events.map(|event| event.map(|event| WatchOrderResponse { event: Some(event.into()) }));
        Ok(Response::new(panics::stream(fault.into(events))))
    }

    async fn advance_order(
        &self,
        request: Request<AdvanceOrderRequest>,
    ) -> RpcResult<AdvanceOrderResponse> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let (id, stage) = requests::advance(request.into_inner())?;
        fields.order(&id);
        let event = advance::advance(&self.store, &id, stage).await?;
        Ok(Response::new(AdvanceOrderResponse { event: Some(event.into()) }))
    }

    async fn import_orders(
        &self,
        request: Request<Streaming<ImportOrdersRequest>>,
    ) -> RpcResult<ImportOrdersResponse> {
        self.faults.before_message(request.metadata()).await?;
        let read = |request: ImportOrdersRequest| {
            requests::new_order(request.order, request.idempotency_key)
        };
        let imported = import::import(&self.store, request.into_inner(), read).await?;
        Ok(Response::new(imported.into()))
    }

    async fn quote_orders(
        &self,
        request: Request<Streaming<QuoteOrdersRequest>>,
    ) -> RpcResult<BoxStream<QuoteOrdersResponse>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let quotes = request.into_inner().map(|request| request.map(responses::quote));
        Ok(Response::new(panics::stream(fault.into(quotes))))
    }
}
