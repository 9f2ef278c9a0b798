//! Calls each method: builds the request from the flags, and prints the response.

use std::path::Path;
use std::pin::Pin;

use prost::{Message, Name};
use tokio::sync::oneshot;
use tonic::codegen::tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Streaming};
use tonic_call::{BoxChannel, WaitForReady};

use super::error::CallError;
use super::lines;
use super::output::Output;
use crate::cli::{Metadata, Method};
use crate::page::NEXT_PAGE_TOKEN;
use crate::v1::order_service_client::OrderServiceClient;
use crate::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, OrderStage,
    WatchOrderRequest,
};

type Client = OrderServiceClient<BoxChannel>;
type Requests<T> = Request<Pin<Box<dyn Stream<Item = T> + Send>>>;

/// What every request has.
pub(super) struct RequestOptions {
    pub(super) metadata: Vec<Metadata>,
    pub(super) wait_for_ready: bool,
    pub(super) output: Output,
}

impl RequestOptions {
    /// Calls the method.
    pub(super) async fn call(&self, mut client: Client, method: Method) -> Result<(), CallError> {
        match method {
            Method::CreateOrder { customer_email, total_cents, currency, idempotency_key } => {
                let made_key = idempotency_key.is_empty().then(new_key).transpose()?;
                let request = self.request(CreateOrderRequest {
                    customer_email,
                    total_cents,
                    currency,
                    idempotency_key: made_key.clone().unwrap_or(idempotency_key),
                });
                let created = client.create_order(request).await.map_err(|status| {
                    let error = CallError::from(status);
                    match &made_key {
                        Some(key) => error.naming_key(key),
                        None => error,
                    }
                });
                self.output.message(created?.get_ref())
            }
            Method::GetOrder { id } => {
                let request = self.request(GetOrderRequest { id });
                self.output.message(client.get_order(request).await?.get_ref())
            }
            Method::ListOrders { customer_email, page_size, page_token } => {
                let request =
                    self.request(ListOrdersRequest { customer_email, page_size, page_token });
                let page = client.list_orders(request).await?;
                let next = page.metadata().get(NEXT_PAGE_TOKEN).cloned();
                self.print_each(page).await?;
                self.output.next_page_token(next.as_ref());
                Ok(())
            }
            Method::WatchOrder { id } => {
                let request = self.request(WatchOrderRequest { id });
                self.print_each(client.watch_order(request).await?).await
            }
            Method::AdvanceOrder { id, stage } => {
                let stage = OrderStage::from(stage).into();
                let request = self.request(AdvanceOrderRequest { id, stage });
                self.output.message(client.advance_order(request).await?.get_ref())
            }
            Method::ImportOrders { file } => {
                let (requests, invalid_line) = self.requests(&file)?;
                tokio::select! {
                    biased;
                    error = invalid_line => Err(error),
                    response = client.import_orders(requests) => self.output.message(response?.get_ref()),
                }
            }
            Method::QuoteOrders { file } => {
                let (requests, invalid_line) = self.requests(&file)?;
                let print_quotes =
                    async { self.print_each(client.quote_orders(requests).await?).await };
                tokio::select! {
                    quoted = print_quotes => quoted,
                    error = invalid_line => Err(error),
                }
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if self.wait_for_ready {
            request.extensions_mut().insert(WaitForReady(true));
        }
        for (key, value) in &self.metadata {
            request.metadata_mut().append(key.clone(), value.clone());
        }
        request
    }

    /// The requests in `file`, and a future that resolves at an invalid line: the call must be cancelled then, since
    /// a request stream that ends looks complete.
    fn requests<T: Message + Name + Default + 'static>(
        &self,
        file: &Path,
    ) -> Result<(Requests<T>, impl Future<Output = CallError>), CallError> {
        let (invalid, first_invalid) = oneshot::channel();
        let requests = Box::pin(lines::read(file, invalid)?);
        Ok((self.request(requests), invalid_line(first_invalid)))
    }

    async fn print_each<T: Message + Name>(
        &self,
        response: Response<Streaming<T>>,
    ) -> Result<(), CallError> {
        let mut messages = response.into_inner();
        while let Some(message) = messages.next().await {
            self.output.message(&message?)?;
        }
        Ok(())
    }
}

/// A random idempotency key: attempts of one call have the same one, and no other call has it.
fn new_key() -> Result<String, CallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| CallError::Input(format!("cannot make an idempotency key: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

async fn invalid_line(first: oneshot::Receiver<CallError>) -> CallError {
    match first.await {
        Ok(error) => error,
        // Every line is valid.
        Err(_) => std::future::pending().await,
    }
}
