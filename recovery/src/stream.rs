//! Recovery inside a handler's stream.

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

/// A handler's stream, whose panic is its last item: an error.
///
/// It has two uses.
///
/// **Around a stream that may panic.** tonic's encoder holds back messages that are ready, up to
/// 32 KiB, to send them together: those a stream gave just before it panicked are lost if only the
/// layer catches the panic. Here it is caught before the encoder, which then sends what it holds,
/// and after that the status.
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
/// **Around the receiving end of a spawned producer.** A panic there is seen by nobody: the channel
/// closes, and the stream ends `OK`, cut short. Tied to its producer, it ends with an error.
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
/// A panic is told as the [layer](crate::RecoveryLayer) around the service tells it, by its handler
/// and its event; without a layer, by the event alone, and the caller gets `INTERNAL`.
#[pin_project]
pub struct RecoverStream<S, T = ()> {
    /// `None` once it has ended or panicked: it is never polled again.
    #[pin]
    stream: Option<S>,
    producer: Option<JoinHandle<T>>,
}

impl<S> RecoverStream<S> {
    /// Catches the panics of a stream.
    pub fn new(stream: S) -> Self {
        Self { stream: Some(stream), producer: None }
    }
}

impl<S, T> RecoverStream<S, T> {
    /// Catches the panics of a stream, and those of the task that feeds it.
    ///
    /// When the stream has ended, the end of the task is awaited: if it panicked, the last item is
    /// an error; so it is, `CANCELLED`, if it was aborted. What the task returns is dropped.
    /// Dropping the stream does not stop the task. A task that is [`captured`](crate::captured) has
    /// its panic told with location and backtrace.
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
        // A panic, or that of the producer, adds one item.
        let (least, most) = stream.size_hint();
        (least.min(1), most.and_then(|most| most.checked_add(1)))
    }
}

fn recovered(caught: Caught) -> Status {
    with_current(|call| call.recovered(caught, Place::Stream))
}

/// A panic in a destructor is told, and changes nothing for the caller.
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
