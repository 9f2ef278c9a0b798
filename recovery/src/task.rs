//! Panics of tasks that a handler has spawned.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;

use crate::capture::{Caught, catch};
use crate::context::Context;
use crate::panic::Place;

/// Lets the panic of a task be told as one of the call's own is, where a
/// [`RecoverStream`](crate::RecoverStream::fed_by) is fed by it: after
/// [`capture_panics`](crate::capture_panics) with its location and backtrace, and after
/// [`capture_panics_quietly`](crate::capture_panics_quietly) not on standard error too.
///
/// A panic hook does not know which tasks belong to a call; this future says that its does. If nobody
/// asks the task how it ended, because the stream is gone by then, the panic is told all the same, by
/// the event alone.
///
/// ```
/// # use tonic_recovery_layer::captured;
/// # async fn produce() {}
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let producer = tokio::spawn(captured(async {
///     produce().await;
/// }));
/// # producer.await.unwrap();
/// # }
/// ```
pub async fn captured<T>(task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    poll_fn(|cx| match catch(|| task.as_mut().poll(cx)) {
        Ok(poll) => poll,
        // Raised again for the task's `JoinHandle`, without the hook.
        Err(caught) => resume_unwind(Box::new(Carried(Some(caught)))),
    })
    .await
}

/// A panic on its way from its task to the stream that the task feeds.
struct Carried(Option<Caught>);

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(caught) = self.0.take() {
            Context::default().report(caught, Place::Stream);
        }
    }
}

/// The panic that a task ended in.
pub(crate) fn caught_in_task(payload: Box<dyn Any + Send>) -> Caught {
    match payload.downcast::<Carried>().map(|mut carried| carried.0.take()) {
        Ok(Some(caught)) => caught,
        Ok(None) => Caught { payload: Box::new(()), trace: None },
        Err(payload) => Caught { payload, trace: None },
    }
}
