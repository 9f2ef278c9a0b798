//! The connections to the servers, and the layers around them.

use tokio::time::timeout;
use tonic::Status;
use tonic_call::{BoxChannel, ServiceConfig};
use tonic_tls_reload::TlsEndpoint;

use super::credentials::{Credentials, Hint};
use super::error::CallError;
use super::method::RequestOptions;
use super::output::Output;
use super::servers::Servers;
use super::{channel, tls};
use crate::cli::{CallArgs, Method};
use crate::traces::Traces;
use crate::v1::order_service_client::OrderServiceClient;

/// The connections to the servers of some flags.
pub(crate) struct Connections {
    config: ServiceConfig,
    tls: Option<TlsEndpoint>,
    servers: Servers,
}

/// Calls methods over the connections, through the client's layers.
pub(crate) struct Caller<'a> {
    client: OrderServiceClient<BoxChannel>,
    options: RequestOptions,
    hint: Hint,
    servers: &'a Servers,
}

impl Connections {
    /// Begins to connect.
    pub(crate) fn open(args: &CallArgs) -> Result<Self, CallError> {
        let config = channel::service_config(args)?;
        let tls = tls::endpoint(&args.tls, args.first_url())?;
        let servers = Servers::connect(args, tls.as_ref(), &config);
        Ok(Self { config, tls, servers })
    }

    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// A caller with the token, the metadata and the limits of the flags.
    pub(crate) async fn caller(
        &self,
        args: &CallArgs,
        traces: Option<&Traces>,
        output: Output,
    ) -> Result<Caller<'_>, CallError> {
        let Self { config, tls, servers } = self;
        let Credentials { layer, hint } = find_credentials(args, tls.as_ref()).await?;
        let channel = servers.channel();
        let channel = channel::layered(channel, layer, args, config, traces, output.clone())?;
        let (metadata, wait_for_ready) = (args.metadata.clone(), args.wait_for_ready);
        let options = RequestOptions { metadata, wait_for_ready, output };
        Ok(Caller { client: OrderServiceClient::new(channel), options, hint, servers })
    }

    /// Closes them, and waits a short time until that is logged.
    pub(crate) async fn close(self) {
        self.servers.close().await;
    }
}

impl Caller<'_> {
    /// Calls the method.
    pub(crate) async fn call(&self, method: Method) -> Result<(), CallError> {
        let called = self.options.call(self.client.clone(), method).await;
        called.map_err(|error| self.hint.add_to(error.naming_servers(&self.servers.failures())))
    }
}

/// The credentials, unless they cannot be read within `--timeout`: a file may be a pipe without data.
async fn find_credentials(
    args: &CallArgs,
    tls: Option<&TlsEndpoint>,
) -> Result<Credentials, CallError> {
    let find = Credentials::find(args, tls);
    let Some(limit) = args.timeout else { return find.await };
    timeout(limit, find).await.unwrap_or_else(|_| {
        let message = format!("the token could not be read within {limit:?}");
        Err(CallError::Status(Status::deadline_exceeded(message)))
    })
}
