use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};

use http::HeaderMap;

use super::call_state::CallState;
use super::{Call, Side};
use crate::fit::BoxError;
use crate::observe::Flow;
use crate::observe::body_reader::BodyReader;

/// The request body as the inner service sees it: its messages are counted, its failure noticed.
#[pin_project(PinnedDrop)]
pub(super) struct RequestBody<B, C: Call> {
    /// `None` only while it is dropped, so that this happens in the call's scope.
    #[pin]
    inner: Option<B>,
    state: Arc<CallState<C>>,
    side: Side,
    reader: BodyReader,
}

impl<B, C: Call> RequestBody<B, C> {
    pub(super) fn new(inner: B, headers: &HeaderMap, side: Side, state: Arc<CallState<C>>) -> Self {
        Self { inner: Some(inner), state, side, reader: BodyReader::of(headers) }
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
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
        let polling = Polling(this.state);
        let frame = this.state.scope(|| inner.poll_frame(cx));
        std::mem::forget(polling);
        let frame = ready!(frame).map(|frame| frame.map_err(Into::into));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.state.data(Flow::Request, this.reader, data);
                }
            }
            Some(Err(error)) => match this.side {
                // Its caller went away: what the connection says of that is of no use.
                Side::Server => this.state.request_failed(),
                Side::Client => this.state.request_failed_with(error),
            },
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// A request body that unwinds has failed: on a client nothing else tells the response.
struct Polling<'a, C: Call>(&'a CallState<C>);

impl<C: Call> Drop for Polling<'_, C> {
    fn drop(&mut self) {
        self.0.request_failed();
    }
}

#[pinned_drop]
impl<B, C: Call> PinnedDrop for RequestBody<B, C> {
    fn drop(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.state.scope(|| this.inner.set(None));
    }
}
