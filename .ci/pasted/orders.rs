// What a reader has already: a service.
#[derive(Clone, Default)]
struct Orders;

type Answer<T> = Result<tonic::Response<T>, tonic::Status>;

fn later<T>() -> Answer<T> {
    Err(tonic::Status::unimplemented("later"))
}

#[tonic::async_trait]
impl orders::order_service_server::OrderService for Orders {
    type ListOrdersStream = tonic::codegen::BoxStream<orders::Order>;
    type WatchOrderStream = tonic::codegen::BoxStream<orders::OrderEvent>;
    type QuoteOrdersStream = tonic::codegen::BoxStream<orders::Quote>;

    async fn create_order(
        &self,
        _: tonic::Request<orders::CreateOrderRequest>,
    ) -> Answer<orders::Order> {
        later()
    }

    async fn get_order(&self, _: tonic::Request<orders::GetOrderRequest>) -> Answer<orders::Order> {
        later()
    }

    async fn list_orders(
        &self,
        _: tonic::Request<orders::ListOrdersRequest>,
    ) -> Answer<Self::ListOrdersStream> {
        later()
    }

    async fn watch_order(
        &self,
        _: tonic::Request<orders::WatchOrderRequest>,
    ) -> Answer<Self::WatchOrderStream> {
        later()
    }

    async fn advance_order(
        &self,
        _: tonic::Request<orders::AdvanceOrderRequest>,
    ) -> Answer<orders::OrderEvent> {
        later()
    }

    async fn import_orders(
        &self,
        _: tonic::Request<tonic::Streaming<orders::CreateOrderRequest>>,
    ) -> Answer<orders::ImportOrdersResponse> {
        later()
    }

    async fn quote_orders(
        &self,
        _: tonic::Request<tonic::Streaming<orders::QuoteRequest>>,
    ) -> Answer<Self::QuoteOrdersStream> {
        later()
    }
}
