//! `orders.v1.OrderService`: what a caller may ask for. One file for each kind of question.

mod create;
mod import;
mod list;
mod quote;
mod watch;

use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::faults::Faults;
use crate::fields::Fields;
use crate::panics;
use crate::refusal::{no_such_order, quoted, refusal};
use crate::store::{Advanced, Stage, Store};
use crate::v1::order_service_server::{OrderService, OrderServiceServer};
use crate::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ImportOrdersResponse,
    ListOrdersRequest, Order, OrderEvent, OrderStage, Quote, QuoteRequest, WatchOrderRequest,
};
use crate::validate::{self, Violations};

/// The largest request, in bytes: many times what an order needs.
const LARGEST_REQUEST: usize = 64 * 1024;

/// The service. A clone is the same service.
#[derive(Clone, Debug)]
pub struct Orders {
    store: Store,
    faults: Faults,
}

type Answer<T> = Result<Response<T>, Status>;

impl Orders {
    /// A service over `store`.
    pub fn new(store: Store, faults: Faults) -> Self {
        Self { store, faults }
    }

    /// As a tonic service, with its limits.
    pub fn server(&self) -> OrderServiceServer<Self> {
        OrderServiceServer::new(self.clone()).max_decoding_message_size(LARGEST_REQUEST)
    }

    /// Lets go of the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(&self, request: Request<CreateOrderRequest>) -> Answer<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = Fields::of(&request);
        let order = create::create(&self.store, request.into_inner()).await?;
        fields.order(&order.id);
        Ok(Response::new(order))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<Order> {
        self.faults.before_message(request.metadata()).await?;
        let fields = Fields::of(&request);
        let id = known_id(request.into_inner().id)?;
        fields.order(&id);
        let order = self.store.get(&id).await?;
        Ok(Response::new(order.ok_or_else(|| no_such_order(&id))?))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<BoxStream<Order>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let response = list::list(&self.store, request.into_inner()).await?;
        Ok(response.map(|orders| panics::stream(fault.into(orders))))
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Answer<BoxStream<OrderEvent>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let fields = Fields::of(&request);
        let id = known_id(request.into_inner().id)?;
        fields.order(&id);
        let events = watch::watch(self.store.clone(), id).await?;
        Ok(Response::new(panics::stream(fault.into(events))))
    }

    async fn advance_order(&self, request: Request<AdvanceOrderRequest>) -> Answer<OrderEvent> {
        self.faults.before_message(request.metadata()).await?;
        let fields = Fields::of(&request);
        let request = request.into_inner();
        let mut wrong = Violations::default();
        validate::id(&mut wrong, &request.id);
        let stage = match request.stage() {
            OrderStage::Shipped => Stage::Shipped,
            OrderStage::Delivered => Stage::Delivered,
            OrderStage::Unspecified => {
                wrong.add("stage", "must be ORDER_STAGE_SHIPPED or ORDER_STAGE_DELIVERED");
                return Err(wrong.into());
            }
        };
        let id = wrong.or(request.id)?;
        fields.order(&id);
        match self.store.advance(&id, stage).await? {
            Advanced::At(event) => Ok(Response::new(event)),
            Advanced::NoOrder => Err(no_such_order(&id)),
            Advanced::TooEarly => Err(refusal(
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
    ) -> Answer<ImportOrdersResponse> {
        self.faults.before_message(request.metadata()).await?;
        let imported = import::import(&self.store, request.into_inner()).await?;
        Ok(Response::new(imported))
    }

    async fn quote_orders(
        &self,
        request: Request<Streaming<QuoteRequest>>,
    ) -> Answer<BoxStream<Quote>> {
        let fault = self.faults.before_stream(request.metadata()).await?;
        let quotes = quote::quotes(request.into_inner());
        Ok(Response::new(panics::stream(fault.into(quotes))))
    }
}

fn known_id(id: String) -> Result<String, Violations> {
    let mut wrong = Violations::default();
    validate::id(&mut wrong, &id);
    wrong.or(id)
}
