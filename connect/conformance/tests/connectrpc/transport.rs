//! A connection of `connectrpc` that keeps what went over it.

use std::sync::{Arc, Mutex};

use connectrpc::ConnectError;
use connectrpc::client::{BoxFuture, ClientBody, ClientTransport, HttpClient};
use http::{HeaderMap, Method, Request, Response, Uri, Version};

pub(crate) type Incoming = <HttpClient as ClientTransport>::ResponseBody;

/// One exchange.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) request: HeaderMap,
    pub(crate) version: Version,
    pub(crate) response: HeaderMap,
}

/// Sends by a pool of connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: HttpClient,
    last: Arc<Mutex<Option<Exchange>>>,
}

impl Transport {
    pub(crate) fn new(version: Version) -> Self {
        let client = match version {
            Version::HTTP_2 => HttpClient::plaintext_http2_only(),
            _ => HttpClient::plaintext(),
        };
        Self { client, last: Arc::default() }
    }

    /// The last exchange whose response has begun.
    pub(crate) fn last(&self) -> Exchange {
        self.last.lock().unwrap().clone().expect("a response")
    }
}

impl ClientTransport for Transport {
    type ResponseBody = Incoming;
    type Error = ConnectError;

    fn send(
        &self,
        request: Request<ClientBody>,
    ) -> BoxFuture<'static, Result<Response<Incoming>, ConnectError>> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers().clone();
        let sent = self.client.send(request);
        let last = Arc::clone(&self.last);
        Box::pin(async move {
            let response = sent.await?;
            *last.lock().unwrap() = Some(Exchange {
                method,
                uri,
                request: headers,
                version: response.version(),
                response: response.headers().clone(),
            });
            Ok(response)
        })
    }
}
