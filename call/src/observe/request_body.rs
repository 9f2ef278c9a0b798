use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};

use tonic::{Code, Status};

use super::call_state::CallState;
use super::inner::Inner;
use super::{Call, Side};
use crate::fit::BoxError;
use crate::observe::Flow;
use crate::observe::body_reader::BodyReader;

/// The request body that the inner service reads. Reports its messages and its failure.
#[pin_project(PinnedDrop)]
pub(super) struct RequestBody<B, C: Call> {
    #[pin]
    inner: Inner<B>,
    state: Arc<CallState<C>>,
    side: Side,
    reader: BodyReader,
}

impl<B, C: Call> RequestBody<B, C> {
    pub(super) fn new(inner: B, reader: BodyReader, side: Side, state: Arc<CallState<C>>) -> Self {
        Self { inner: Inner::Live(inner), state, side, reader }
    }
}

impl<B, C> Body for RequestBody<B, C>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    C: Call,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let fail_on_unwind = FailOnUnwind(this.state);
        let frame = this.state.scope(|| this.inner.as_mut().poll_frame(cx));
        std::mem::forget(fail_on_unwind);
        let frame = ready!(frame).map(|frame| frame.map_err(Into::into));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.state.data(Flow::Request, this.reader, data);
                }
            }
            Some(Err(error)) => match this.side {
                // The service's answer says what is wrong with the request.
                Side::Server if is_of_a_layer(error) => {}
                // The caller went away; the connection's error adds nothing to that.
                Side::Server => this.state.request_failed(),
                Side::Client => this.state.request_failed_with(error),
            },
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Whether the error is from a layer outside, which translates a protocol: it can't read what the caller has sent, and
/// the caller waits for the answer. The status of a lost connection has the connection's error as its source.
fn is_of_a_layer(error: &BoxError) -> bool {
    let is_own = |status: &Status| status.code() != Code::Cancelled && status.source().is_none();
    error.downcast_ref::<Status>().is_some_and(is_own)
}

/// Marks the request as failed if its poll unwinds: on a client, the response has no other sign of it.
struct FailOnUnwind<'a, C: Call>(&'a CallState<C>);

impl<C: Call> Drop for FailOnUnwind<'_, C> {
    fn drop(&mut self) {
        self.0.request_failed();
    }
}

#[pinned_drop]
impl<B, C: Call> PinnedDrop for RequestBody<B, C> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        if this.inner.has_rest() {
            this.state.scope(|| this.inner.as_mut().drop_rest());
        }
    }
}
