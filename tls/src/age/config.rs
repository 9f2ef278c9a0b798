use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Serves connections that end at an age, so that clients connect again: then they are balanced and verified again.
///
/// ```no_run
/// # use tonic_call_test_kit::{Orders, orders::order_service_server::OrderServiceServer};
/// # async fn serve(tls: tonic_tls_reload::ServerTls) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use tonic::service::Routes;
/// use tonic::transport::Server;
/// use tonic::transport::server::TcpIncoming;
/// use tonic_tls_reload::ConnectionAge;
///
/// let server = Server::builder(); // with its settings and layers
/// let routes = Routes::new(OrderServiceServer::new(Orders::default()));
/// let incoming = tls.incoming(TcpIncoming::bind("[::]:8443".parse()?)?);
/// let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
///
/// ConnectionAge::after(Duration::from_secs(30 * 60))
///     .serve(server, routes, incoming, shutdown)
///     .await;
/// # Ok(())
/// # }
/// ```
///
/// At its age, a connection gets a GOAWAY: it accepts no further calls, and ends with its last one. Clients connect
/// again for further calls. A client that has not begun HTTP/2 five seconds later loses its connection. Each connection draws its own age, up to 10 % more or less, so that clients that came
/// together don't come back together.
///
/// A call that crosses the GOAWAY can fail at its client, unseen by the server, and can be repeated: a tonic client that
/// has an open stream fails its next call with `CANCELLED` ("operation was canceled"). gRPC clients elsewhere repeat
/// such calls by themselves.
///
/// The layers of the server are applied once per connection, so what they count must be in the layer: tower's
/// `GlobalConcurrencyLimitLayer`, and not its `ConcurrencyLimitLayer`.
///
/// Calls that are open at that time go on, so a watch lives until its client or its handler ends it. With a
/// [`grace`](Self::grace), they end `UNAVAILABLE`, and logs and metrics say that the server ended them.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionAge {
    age: Duration,
    pub(super) grace: Option<Duration>,
}

/// What part of an age is more or less: 1/10.
const JITTER: u32 = 10;

impl ConnectionAge {
    /// Ends connections at this age.
    pub fn after(age: Duration) -> Self {
        Self { age, grace: None }
    }

    /// Ends the calls that are open this long after the GOAWAY. Default: they go on.
    ///
    /// Their callers get `UNAVAILABLE`. Five seconds later, the connection is closed, even if the caller has not read
    /// that. With a grace, each call costs a few allocations more, as with a deadline.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Draws the age of one connection, for a serve function of your own.
    pub fn draw(self) -> Duration {
        self.drawn(RandomState::new().hash_one(0))
    }

    fn drawn(self, random: u64) -> Duration {
        let least = self.age - self.age / JITTER;
        // The upper half of the bits, as a fraction of 1.
        let fraction = f64::from((random >> 32) as u32) / f64::from(u32::MAX);
        least.saturating_add((self.age / JITTER * 2).mul_f64(fraction))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_to_both_sides() {
        let age = ConnectionAge::after(Duration::from_secs(100));
        assert_eq!(age.drawn(0).as_secs(), 90);
        assert_eq!(age.drawn(u64::MAX / 2).as_secs(), 99);
        assert_eq!(age.drawn(u64::MAX).as_secs(), 110);
        assert_eq!(ConnectionAge::after(Duration::MAX).drawn(u64::MAX), Duration::MAX);
        assert_eq!(ConnectionAge::after(Duration::ZERO).drawn(u64::MAX), Duration::ZERO);
    }
}
