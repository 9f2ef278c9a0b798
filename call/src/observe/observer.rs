use http::{request, response};

use crate::method::Rpc;
use crate::observe::{Batch, End, Flow, Message, Side};

/// Watches calls: metrics, logs and spans are each one of these.
///
/// [`ObserveLayer`] makes a tower layer of it. `(A, B)` is an observer too: both watch in one pass,
/// as if `A` stood outside `B`. An observer must not panic: its hooks also run while a panic is
/// unwinding.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not watch gRPC calls",
    label = "not an `Observer`",
    note = "implement `tonic_call::Observer`: its `begin` makes one `tonic_call::Call` for each call",
    note = "an observer is `Clone + Send + Sync + 'static`, since every connection has its own"
)]
pub trait Observer: Clone + Send + Sync + 'static {
    /// What is kept while one call runs.
    type Call: Call;

    /// A call begins. Its head may be changed; `None` says that this call is of no interest, and it
    /// then costs nothing more.
    ///
    /// On a server, a request that does not ask as gRPC does (by another verb than `POST`, or with another
    /// content type) and whose method is not known may still be a call: tonic runs methods for such
    /// requests too. It begins late, when its answer shows that, with the head as it came: changes of
    /// it reach nobody then. [`Stopwatch::since_arrival`](crate::Stopwatch::since_arrival) starts when the
    /// request came.
    fn begin(&self, side: Side, rpc: &Rpc, head: &mut request::Parts) -> Option<Self::Call>;
}

/// One call that is being watched.
///
/// Only polls and drops run in [`scope`](Self::scope); the other hooks run outside it. They come in
/// this order: [`responded`](Self::responded) at most once,
/// [`message`](Self::message) for each message and [`batch`](Self::batch) after those of one frame,
/// [`end`](Self::end) exactly once and last; only [`unwound`](Self::unwound) can come at any time. Request
/// and response may be polled by different tasks, so hooks may run at the same time: a request's
/// message that passes at the very moment of the end may still be told during it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not watch one gRPC call",
    label = "not a `Call`",
    note = "implement `tonic_call::Call`: `end` is its only required method"
)]
pub trait Call: Send + Sync + 'static {
    /// Runs a piece of the call: making the response future, each poll of it and of both bodies
    /// (on a client the request body is polled by other tasks), and dropping them.
    ///
    /// Must run `poll` and give what it gave. What is set up around it, for example a current
    /// span, is undone before this returns, and so never held across a yield.
    fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        poll()
    }

    /// The head of the response is here. It may already hold the status, and metadata may be added to it.
    fn responded(&self, head: &mut response::Parts) {
        let _ = head;
    }

    /// A message has passed, whole.
    fn message(&self, flow: Flow, message: Message) {
        let _ = (flow, message);
    }

    /// The messages of one frame have passed; [`message`](Self::message) was called for each before. For
    /// sums that are expensive to update: it comes as often as frames do, and a busy stream has many
    /// messages in each.
    ///
    /// For a call that [begins late](Observer::begin) the messages before its beginning are one batch,
    /// and only the first [1,024](crate::EarlyMessages::KEPT_AT_MOST) of them come one by one.
    fn batch(&self, flow: Flow, batch: Batch) {
        let _ = (flow, batch);
    }

    /// A panic unwinds through a piece of the call: a poll, or a destructor, which may run after the
    /// end. Further in nobody recovered it, and it is not over yet: this must not panic.
    fn unwound(&self) {}

    /// The call is over. Runs outside [`scope`](Self::scope).
    fn end(&self, end: End<'_>);
}
