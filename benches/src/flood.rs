use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;

use crate::one_core::Core;

/// A sender that keeps a server busy: it sends the next call when one is answered, with any status.
#[derive(Debug)]
pub struct Flood {
    answered: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Flood {
    /// Starts this many concurrent senders on that core. `request` creates the request with the given number.
    pub fn start(
        from: &Core,
        kinds: &KindsClient<Channel>,
        at_once: usize,
        request: impl Fn(u64) -> Request<Ask> + Send + Sync + 'static,
    ) -> Self {
        let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let request = Arc::new(request);
        let mut callers = JoinSet::new();
        for _ in 0..at_once {
            let (mut kinds, request) = (kinds.clone(), Arc::clone(&request));
            let (sent, answered) = (Arc::clone(&sent), Arc::clone(&answered));
            let calls = async move {
                loop {
                    let request = request(sent.fetch_add(1, Ordering::Relaxed));
                    let _ = kinds.unary(request).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            };
            callers.spawn_on(calls, from.runtime());
        }
        Self { answered, callers }
    }

    /// The number of calls that were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Stops the senders, and cancels calls in flight.
    pub async fn stop(mut self) {
        self.callers.shutdown().await;
    }
}
