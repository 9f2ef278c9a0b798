//! Recovers panics inside a handler's stream.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pin_project::pin_project;
use tokio::task::JoinHandle;
use tonic::Status;

use crate::capture::{Caught, catch};
use crate::context::with_current;
use crate::panic::Place;
use crate::task::caught_in_task;

/// A handler's stream that ends with an error if it panics.
///
/// It has two uses:
///
/// **Around a stream that may panic.** tonic's encoder buffers up to 32 KiB of ready messages to send them
/// together. If only the layer catches the panic, buffered messages are lost. This type catches the panic
/// before the encoder, so that the buffered messages are sent, and then the status.
///
/// ```
/// # use tonic::{Response, Status};
/// # use tonic_recovery_layer::RecoverStream;
/// # fn answer() -> Response<impl tokio_stream::Stream<Item = Result<u32, Status>>> {
/// # let orders = [1, 2];
/// let stream = tokio_stream::iter(orders).map(|order| Ok(order));
/// Response::new(RecoverStream::new(stream))
/// # }
/// # use tokio_stream::StreamExt as _;
/// ```
///
/// **Around the receiving end of a spawned producer.** If the producer panics, the channel closes, and the
/// stream ends with `OK` although messages are missing. With [`fed_by`](Self::fed_by) it ends with an error.
///
/// ```
/// # use tonic::{Response, Status};
/// # use tonic_recovery_layer::RecoverStream;
/// # fn answer() -> Response<impl tokio_stream::Stream<Item = Result<u32, Status>>> {
/// let (sender, receiver) = tokio::sync::mpsc::channel(16);
/// let producer = tokio::spawn(async move {
///     for order in 1..=3 {
///         if sender.send(Ok(order)).await.is_err() {
///             return; // the caller went away
///         }
///     }
/// });
/// let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
/// Response::new(RecoverStream::fed_by(stream, producer))
/// # }
/// ```
///
/// A panic is reported by the [layer](crate::RecoveryLayer) around the service, with its handler and event.
/// Without a layer it is reported by the event alone, and the caller gets `INTERNAL`.
#[pin_project]
pub struct RecoverStream<S, T = ()> {
    /// `None` after its end or a panic: it is never polled again.
    #[pin]
    stream: Option<S>,
    producer: Option<JoinHandle<T>>,
}

impl<S> RecoverStream<S> {
    /// Catches panics in a stream.
    pub fn new(stream: S) -> Self {
        Self { stream: Some(stream), producer: None }
    }
}

impl<S, T> RecoverStream<S, T> {
    /// Catches panics in a stream, and in the task that feeds it.
    ///
    /// At the end of the stream, waits for the task to end. If the task panicked, the last item is an error; if
    /// it was aborted, the last item is the error `CANCELLED`. The task's return value is dropped. Dropping the
    /// stream does not stop the task. Wrap the task in [`captured`](crate::captured) to report its panic with
    /// location and backtrace.
    pub fn fed_by(stream: S, producer: JoinHandle<T>) -> Self {
        Self { stream: Some(stream), producer: Some(producer) }
    }
}

impl<S, T, M> Stream for RecoverStream<S, T>
where
    S: Stream<Item = Result<M, Status>>,
{
    type Item = Result<M, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(stream) = this.stream.as_mut().as_pin_mut() {
            match catch(|| stream.poll_next(cx)) {
                Ok(Poll::Ready(None)) => {}
                Ok(item) => return item,
                Err(caught) => {
                    let status = recovered(caught);
                    *this.producer = None;
                    drop_recovered(|| this.stream.set(None));
                    return Poll::Ready(Some(Err(status)));
                }
            }
            drop_recovered(|| this.stream.set(None));
        }
        let Some(producer) = this.producer else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(producer).poll(cx));
        *this.producer = None;
        Poll::Ready(match ended {
            Ok(returned) => {
                drop_recovered(|| drop(returned));
                None
            }
            Err(error) => Some(Err(match error.try_into_panic() {
                Ok(payload) => recovered(caught_in_task(payload)),
                Err(_) => Status::cancelled("the stream was cut short"),
            })),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let Some(stream) = &self.stream else { return (0, Some(1)) };
        // A panic in the stream or its producer adds one item.
        let (least, most) = stream.size_hint();
        (least.min(1), most.and_then(|most| most.checked_add(1)))
    }
}

fn recovered(caught: Caught) -> Status {
    with_current(|call| call.recovered(caught, Place::Stream))
}

/// A panic in a destructor is reported, but does not affect the caller.
fn drop_recovered(piece: impl FnOnce()) {
    if let Err(caught) = catch(piece) {
        with_current(|call| call.report(caught, Place::Drop));
    }
}

impl<S, T> fmt::Debug for RecoverStream<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoverStream").finish_non_exhaustive()
    }
}
