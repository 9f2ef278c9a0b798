//! Callers that call without pause.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinSet;
use tonic::Status;
use tonic_call::{BoxChannel, MethodKind};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Act, Ask, Note};
use tonic_call_test_kit::{KINDS, ask};

/// Calls from several callers, until it is stopped.
pub struct Load {
    callers: JoinSet<Outcomes>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

/// How many calls had which outcome.
pub type Outcomes = BTreeMap<String, usize>;

impl Load {
    /// Each caller makes calls of these kinds in turn.
    pub fn start(channel: &BoxChannel, callers: usize, kinds: &'static [MethodKind]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for _ in 0..callers {
            let mut client = KindsClient::new(channel.clone());
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            set.spawn(async move {
                let mut outcomes = BTreeMap::new();
                for kind in kinds.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let outcome = match call(&mut client, *kind).await {
                        Ok(()) => "ok".to_owned(),
                        Err(status) => outcome(&status),
                    };
                    *outcomes.entry(outcome).or_default() += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                outcomes
            });
        }
        Self { callers: set, stop, done }
    }

    /// Of all four kinds.
    pub fn of_all_kinds(channel: &BoxChannel, callers: usize) -> Self {
        Self::start(channel, callers, &KINDS)
    }

    pub fn unary(channel: &BoxChannel, callers: usize) -> Self {
        Self::start(channel, callers, &[MethodKind::Unary])
    }

    /// Waits until this number of further calls is done.
    pub async fn go_on(&self, calls: usize) {
        let until = self.done.load(Ordering::Relaxed) + calls;
        while self.done.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }

    pub async fn stop(self) -> Outcomes {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcomes::new();
        for (outcome, count) in self.callers.join_all().await.into_iter().flatten() {
            *all.entry(outcome).or_default() += count;
        }
        all
    }

    /// Stops, and panics if a call has failed.
    pub async fn all_ok(self) {
        let outcomes = self.stop().await;
        assert!(outcomes.keys().eq(["ok"]), "{outcomes:?}");
    }
}

/// One call, whose response is read to its end.
async fn call(client: &mut KindsClient<BoxChannel>, kind: MethodKind) -> Result<(), Status> {
    let one = ask(Act::Unspecified, 2);
    let both = [one.clone(), Ask::default()];
    let mut notes: tonic::Streaming<Note> = match kind {
        MethodKind::Unary => return client.unary(one).await.map(drop),
        MethodKind::ClientStream => {
            return client.client_stream(tokio_stream::iter(both)).await.map(drop);
        }
        MethodKind::ServerStream => client.server_stream(one).await?,
        MethodKind::BidiStream => client.bidi_stream(tokio_stream::iter(both)).await?,
    }
    .into_inner();
    while notes.message().await?.is_some() {}
    Ok(())
}

/// The code, and the error with its sources.
fn outcome(status: &Status) -> String {
    let mut text = format!("{:?}", tonic_call::code_of_error(status));
    let mut next: Option<&dyn std::error::Error> = Some(status);
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}
