//! Each method: the request from the arguments, the answer to standard output.

use std::path::Path;
use std::pin::Pin;

use prost::{Message, Name};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Streaming};
use tonic_call::BoxChannel;

use super::output::{next_page, print};
use super::{Failure, lines};
use crate::cli::{Metadata, Method};
use crate::page::NEXT_PAGE_TOKEN;
use crate::v1::order_service_client::OrderServiceClient;
use crate::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, OrderStage,
    WatchOrderRequest,
};

type Client = OrderServiceClient<BoxChannel>;
type Requests<T> = Request<Pin<Box<dyn Stream<Item = T> + Send>>>;

/// What every request carries.
pub(super) struct Call {
    pub(super) metadata: Vec<Metadata>,
    pub(super) deadline: Option<Instant>,
}

impl Call {
    pub(super) async fn method(&self, mut client: Client, method: Method) -> Result<(), Failure> {
        match method {
            Method::CreateOrder { customer_email, total_cents, currency, idempotency_key } => {
                let request = self.request(CreateOrderRequest {
                    customer_email,
                    total_cents,
                    currency,
                    idempotency_key,
                });
                print(client.create_order(request).await?.get_ref())
            }
            Method::GetOrder { id } => {
                let request = self.request(GetOrderRequest { id });
                print(client.get_order(request).await?.get_ref())
            }
            Method::ListOrders { customer_email, page_size, page_token } => {
                let request =
                    self.request(ListOrdersRequest { customer_email, page_size, page_token });
                let page = client.list_orders(request).await?;
                let next = page.metadata().get(NEXT_PAGE_TOKEN).cloned();
                print_each(page).await?;
                next_page(next.as_ref());
                Ok(())
            }
            Method::WatchOrder { id } => {
                let request = self.request(WatchOrderRequest { id });
                print_each(client.watch_order(request).await?).await
            }
            Method::AdvanceOrder { id, stage } => {
                let stage = OrderStage::from(stage).into();
                let request = self.request(AdvanceOrderRequest { id, stage });
                print(client.advance_order(request).await?.get_ref())
            }
            Method::ImportOrders { file } => {
                let (requests, bad_line) = self.requests(&file)?;
                tokio::select! {
                    biased;
                    failure = bad_line => Err(failure),
                    answer = client.import_orders(requests) => print(answer?.get_ref()),
                }
            }
            Method::QuoteOrders { file } => {
                let (requests, bad_line) = self.requests(&file)?;
                let print_quotes = async { print_each(client.quote_orders(requests).await?).await };
                tokio::select! {
                    quoted = print_quotes => quoted,
                    failure = bad_line => Err(failure),
                }
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (key, value) in &self.metadata {
            request.metadata_mut().append(key.clone(), value.clone());
        }
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }

    /// A stream of what the lines of `file` say, and what ends when a line says nothing of the kind: the
    /// call is to be broken off then, as a stream that only ends looks whole.
    fn requests<T: Message + Name + Default + 'static>(
        &self,
        file: &Path,
    ) -> Result<(Requests<T>, impl Future<Output = Failure>), Failure> {
        let (tell, told) = oneshot::channel();
        let requests = Box::pin(lines::read(file, tell)?);
        Ok((self.request(requests), bad_line(told)))
    }
}

async fn bad_line(told: oneshot::Receiver<Failure>) -> Failure {
    match told.await {
        Ok(failure) => failure,
        // Every line was good.
        Err(_) => std::future::pending().await,
    }
}

async fn print_each<T: Message + Name>(answer: Response<Streaming<T>>) -> Result<(), Failure> {
    let mut messages = answer.into_inner();
    while let Some(message) = messages.next().await {
        print(&message?)?;
    }
    Ok(())
}
