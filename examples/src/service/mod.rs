//! `orders.v1.OrderService`: one file per method, except the short ones.

mod create;
mod import;
mod list;
mod quote;
mod watch;

use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::faults::Faults;
use crate::fields::CallFields;
use crate::panics;
use crate::status::{order_not_found, quoted, with_reason};
use crate::store::{AdvanceOutcome, Stage, Store};
use crate::v1::order_service_server::{OrderService, OrderServiceServer};
use crate::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ImportOrdersResponse,
    ListOrdersRequest, Order, OrderEvent, OrderStage, Quote, QuoteRequest, WatchOrderRequest,
};
use crate::validate::{self, Violations};

/// Default of [`MessageSizes::request`], many times the size of an order.
pub(crate) const MAX_REQUEST_BYTES: u32 = 64 * 1024;

/// Default of [`MessageSizes::response`]: what clients accept by default.
pub(crate) const MAX_RESPONSE_BYTES: u32 = 4 * 1024 * 1024;

/// The service. A clone is the same service.
#[derive(Clone, Debug)]
pub struct Orders {
    store: Store,
    faults: Faults,
    sizes: MessageSizes,
}

/// The maximum sizes of messages, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct MessageSizes {
    /// Of a request message. The default is 64 KiB.
    pub request: usize,
    /// Of a response message. The default is 4 MiB.
    pub response: usize,
}

impl Default for MessageSizes {
    fn default() -> Self {
        Self { request: MAX_REQUEST_BYTES as usize, response: MAX_RESPONSE_BYTES as usize }
    }
}

type RpcResult<T> = Result<Response<T>, Status>;

impl Orders {
    /// A service with this store.
    pub fn new(store: Store, faults: Faults) -> Self {
        Self { store, faults, sizes: MessageSizes::default() }
    }

    /// The same with other maximum sizes of messages.
    #[must_use]
    pub fn sizes(self, sizes: MessageSizes) -> Self {
        Self { sizes, ..self }
    }

    /// Its store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The tonic service, with its size limits.
    pub fn server(&self) -> OrderServiceServer<Self> {
        OrderServiceServer::new(self.clone())
            .max_decoding_message_size(self.sizes.request)
            .max_encoding_message_size(self.sizes.response)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(&self, request: Request<CreateOrderRequest>) -> RpcResult<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let order = create::create(&self.store, request.into_inner()).await?;
        fields.order(&order.id);
        Ok(Response::new(order))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> RpcResult<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let id = valid_id(request.into_inner().id)?;
        fields.order(&id);
        let order = self.store.get(&id).await?;
        Ok(Response::new(order.ok_or_else(|| order_not_found(&id))?))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> RpcResult<BoxStream<Order>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let response = list::list(&self.store, request.into_inner()).await?;
        Ok(response.map(|orders| panics::stream(fault.into(orders))))
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
        Ok(Response::new(panics::stream(fault.into(events))))
    }

    async fn advance_order(&self, request: Request<AdvanceOrderRequest>) -> RpcResult<OrderEvent> {
        self.faults.before_message(request.metadata()).await?;
        let fields = CallFields::of(&request);
        let request = request.into_inner();
        let mut violations = Violations::default();
        validate::id(&mut violations, &request.id);
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
        match self.store.advance(&id, stage).await? {
            AdvanceOutcome::Reached(event) => Ok(Response::new(event)),
            AdvanceOutcome::NotFound => Err(order_not_found(&id)),
            AdvanceOutcome::TooEarly => Err(with_reason(
                Code::FailedPrecondition,
                "ORDER_NOT_SHIPPED",
                format!("order {} has not been shipped yet", quoted(&id)),
                &[("id", &id)],
            )),
        }
    }

    async fn import_orders(
        &self,
        request: Request<Streaming<CreateOrderRequest>>,
    ) -> RpcResult<ImportOrdersResponse> {
        self.faults.before_message(request.metadata()).await?;
        let imported = import::import(&self.store, request.into_inner()).await?;
        Ok(Response::new(imported))
    }

    async fn quote_orders(
        &self,
        request: Request<Streaming<QuoteRequest>>,
    ) -> RpcResult<BoxStream<Quote>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let quotes = quote::quotes(request.into_inner());
        Ok(Response::new(panics::stream(fault.into(quotes))))
    }
}

fn valid_id(id: String) -> Result<String, Violations> {
    let mut violations = Violations::default();
    validate::id(&mut violations, &id);
    violations.or(id)
}
