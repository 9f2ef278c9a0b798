//! One server of Redis.

use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, RedisError};

/// The time between two probes while Redis is away, and the longest time that one takes.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Which servers are trusted: by default those that an authority of the system has certified.
#[derive(Clone, Default)]
pub(super) struct Trust {
    #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
    certificates: Option<redis::TlsCertificates>,
}

impl Trust {
    #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
    pub(super) fn only(certificates: redis::TlsCertificates) -> Self {
        Self { certificates: Some(certificates) }
    }

    /// A client of one server.
    pub(super) fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
        if let Some(certificates) = &self.certificates {
            return Client::build_with_tls(info, certificates.clone());
        }
        Client::open(info)
    }

    pub(super) fn of_cluster(&self, builder: ClusterClientBuilder) -> ClusterClientBuilder {
        #[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
        if let Some(certificates) = &self.certificates {
            return builder.certs(certificates.clone());
        }
        builder
    }
}

/// Connects to one server.
pub(super) async fn connect_to(
    client: Result<Client, RedisError>,
) -> Result<redis::aio::MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PROBE_INTERVAL))
        .set_response_timeout(Some(PROBE_INTERVAL));
    client?.get_multiplexed_async_connection_with_config(&config).await
}

pub(super) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}
