use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tonic_call::{Deadline, Replay};

/// Ends a call at its deadline, until it is answered.
pub(super) struct Timer(Option<(Deadline, Pin<Box<Sleep>>)>);

/// What ends a call that is not answered.
pub(super) enum Interruption {
    Deadline,
    /// The channel's own timer has fired.
    Expired,
    /// A message of the request is too long.
    TooLong(Status),
}

impl Timer {
    pub(super) fn new(deadline: Option<Deadline>) -> Self {
        Self(deadline.map(|deadline| (deadline, Box::pin(sleep_until(deadline.instant())))))
    }

    /// Waits for a future, unless something ends the call before.
    pub(super) async fn within<F: Future>(
        &mut self,
        replay: &Replay,
        future: F,
    ) -> Result<F::Output, Interruption> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Some((deadline, sleep)) = &mut self.0 {
                // The clock is read too: the channel's timer, whose error has the code `CANCELLED`, may fire first.
                let fired = sleep.as_mut().poll(cx).is_ready();
                if fired || deadline.has_passed() {
                    return Poll::Ready(Err(Interruption::Deadline));
                }
            }
            let result = future.as_mut().poll(cx);
            // After the poll: it may have read the request, and then fails as well.
            match replay.poll_too_long(cx) {
                Poll::Ready(status) => Poll::Ready(Err(Interruption::TooLong(status))),
                Poll::Pending => result.map(Ok),
            }
        })
        .await
    }
}
