//! Tells what never ends by itself that the server stops.

use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn stopping(&self) -> Stopping {
        Stopping(self.0.subscribe())
    }
}

impl Stopping {
    /// Ends once the server stops; at once, if it does already.
    pub(crate) async fn wait(&mut self) {
        if self.0.wait_for(|stopped| *stopped).await.is_err() {
            // Nobody is left who could stop it.
            std::future::pending::<()>().await;
        }
    }
}
