//! The order service: what it does is written once, and each version of the API has a module that reads its requests
//! and writes its responses.

mod advance;
mod create;
mod import;
mod list;
mod quote;
mod v1;
mod v2;
mod watch;

use tonic::server::NamedService;
use tonic::{Response, Status};

use crate::faults::Faults;
use crate::store::Store;
use crate::v1::order_service_server::OrderServiceServer as V1Server;
use crate::v2::order_service_server::OrderServiceServer as V2Server;

/// The name of the service in each version. The versions have the same methods.
pub(crate) const VERSIONS: [&str; 2] =
    [<V1Server<Orders> as NamedService>::NAME, <V2Server<Orders> as NamedService>::NAME];

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

    /// The tonic service of `orders.v1`, with its size limits.
    pub fn v1(&self) -> V1Server<Self> {
        V1Server::new(self.clone())
            .max_decoding_message_size(self.sizes.request)
            .max_encoding_message_size(self.sizes.response)
    }

    /// The tonic service of `orders.v2`, with the same limits.
    pub fn v2(&self) -> V2Server<Self> {
        V2Server::new(self.clone())
            .max_decoding_message_size(self.sizes.request)
            .max_encoding_message_size(self.sizes.response)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
