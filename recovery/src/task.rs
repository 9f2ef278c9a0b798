//! Captures panics of tasks that a handler has spawned.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;

use crate::capture::{Caught, catch};
use crate::context::Context;
use crate::panic::Place;

/// Wraps a task that feeds a [`RecoverStream`](crate::RecoverStream::fed_by), so that its panic is reported
/// like one in the call itself: with location and backtrace after [`capture_panics`](crate::capture_panics),
/// and not on standard error after [`capture_panics_quietly`](crate::capture_panics_quietly).
///
/// A panic hook can't know which tasks belong to a call; this wrapper marks one. If nothing awaits the task,
/// because the stream is already dropped, its panic is still reported, by the event alone.
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
        // Resumed for the task's `JoinHandle`, without calling the hook again.
        Err(caught) => resume_unwind(Box::new(Carried(Some(caught)))),
    })
    .await
}

/// Carries a caught panic from the task to the stream that it feeds.
struct Carried(Option<Caught>);

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(caught) = self.0.take() {
            Context::default().report(caught, Place::Stream);
        }
    }
}

/// The panic from a task's `JoinHandle`.
pub(crate) fn caught_in_task(payload: Box<dyn Any + Send>) -> Caught {
    match payload.downcast::<Carried>().map(|mut carried| carried.0.take()) {
        Ok(Some(caught)) => caught,
        Ok(None) => Caught { payload: Box::new(()), trace: None },
        Err(payload) => Caught { payload, trace: None },
    }
}
