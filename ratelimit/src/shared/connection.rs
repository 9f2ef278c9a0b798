//! A connection to one server, or to all servers of a cluster.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, ServerErrorKind, Value, cmd, from_redis_value,
};

use super::slot::{SLOTS, tag_within};

/// Clones share the connection.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// The names of keys for probes, of which each primary has one.
    pub(super) async fn probe_keys(&mut self, prefix: &str) -> Result<Vec<String>, RedisError> {
        let ranges = match self {
            Self::Server(_) => return Ok(vec![format!("{prefix}:probe")]),
            Self::Cluster(cluster) => primaries(cluster).await?,
        };
        let name = |(first, last)| format!("{prefix}:{{{}}}probe", tag_within(first, last));
        Ok(ranges.into_iter().map(name).collect())
    }
}

/// The first range of slots of each primary. It is an error if some slots have none.
async fn primaries(cluster: &mut ClusterConnection) -> Result<Vec<(u16, u16)>, RedisError> {
    let rows: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(cluster).await?;
    let (mut nodes, mut ranges, mut slots) = (Vec::new(), Vec::new(), 0);
    for row in rows {
        let [first, last, primary, ..] = row.as_slice() else { continue };
        let range: (u16, u16) = (from_redis_value(first.clone())?, from_redis_value(last.clone())?);
        slots += u32::from(range.1.saturating_sub(range.0)) + 1;
        if !nodes.contains(primary) {
            nodes.push(primary.clone());
            ranges.push(range);
        }
    }
    if slots < u32::from(SLOTS) {
        let kind = ServerErrorKind::ClusterDown.into();
        return Err(RedisError::from((kind, "some slots have no primary")));
    }
    Ok(ranges)
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(server) => server.req_packed_command(cmd),
            Self::Cluster(cluster) => cluster.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(server) => server.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(server) => server.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}
