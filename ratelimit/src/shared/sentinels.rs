//! Finds the primary that sentinels watch.

use redis::aio::MultiplexedConnection;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    RedisError, cmd,
};
use tokio::task::JoinSet;

use super::error::StoreError;
use super::server::{Trust, connect_to, is_tls};

/// What sentinels are asked for.
#[derive(Clone)]
pub(super) struct Primary {
    pub(super) name: String,
    /// How to log in at it.
    pub(super) login: RedisConnectionInfo,
}

/// Asks all sentinels at once, and returns the first connection to a primary: a sentinel, or a server that it names,
/// can be away, and an answer can be older than a failover.
pub(super) async fn connect(
    sentinels: &[ConnectionInfo],
    trust: &Trust,
    primary: &Primary,
) -> Result<MultiplexedConnection, StoreError> {
    let mut asked = JoinSet::new();
    for info in sentinels {
        let (trust, primary, info) = (trust.clone(), primary.clone(), info.clone());
        asked.spawn(async move {
            let sentinel = trust.client(info.clone());
            let address = ask(sentinel, &primary.name).await.map_err(|e| StoreError::of(&e))?;
            let (host, port) = address.ok_or(StoreError::UnknownPrimary(primary.name))?;
            let info = at(host, port, &info).map(|info| info.set_redis_settings(primary.login));
            let server = info.and_then(|info| trust.client(info));
            connect_to_primary(server).await
        });
    }
    let mut failed = None;
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if failed.as_ref().is_none_or(|other| says(other) < says(&error)) => {
                failed = Some(error);
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
    Err(failed.unwrap_or(StoreError::Urls))
}

/// How much an error says. That a sentinel is away is usual, and seldom why there is no primary.
fn says(error: &StoreError) -> u8 {
    match error {
        StoreError::Unreachable(_) => 0,
        StoreError::UnknownPrimary(_) => 1,
        _ => 2,
    }
}

/// The address of the primary, if a sentinel knows it.
async fn ask(
    sentinel: Result<Client, RedisError>,
    name: &str,
) -> Result<Option<(String, u16)>, RedisError> {
    let mut sentinel = connect_to(sentinel).await?;
    cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name).query_async(&mut sentinel).await
}

/// What a sentinel calls the primary can be a replica by now.
async fn connect_to_primary(
    server: Result<Client, RedisError>,
) -> Result<MultiplexedConnection, StoreError> {
    let mut server = connect_to(server).await.map_err(|error| StoreError::of(&error))?;
    let role: Vec<redis::Value> =
        cmd("ROLE").query_async(&mut server).await.map_err(|error| StoreError::of(&error))?;
    let is_primary =
        matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"master");
    if is_primary { Ok(server) } else { Err(StoreError::Refused("READONLY".to_owned())) }
}

/// A server, with TLS if its sentinel has it.
fn at(host: String, port: u16, sentinel: &ConnectionInfo) -> Result<ConnectionInfo, RedisError> {
    let address = if is_tls(sentinel) {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    address.into_connection_info()
}
