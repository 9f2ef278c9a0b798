use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::state::CutState;
use crate::answer::response::trailers_of;
use crate::observe::Protocol;

/// The response body of a call that can be cut.
pub struct CutBody<B, E> {
    /// `None` once the status of a cut was sent.
    shared: Option<Arc<CutState<B, E>>>,
    at_end: bool,
    protocol: Protocol,
}

impl<B, E> CutBody<B, E> {
    pub(super) fn new(
        shared: Option<Arc<CutState<B, E>>>,
        at_end: bool,
        protocol: Protocol,
    ) -> Self {
        Self { shared, at_end, protocol }
    }
}

impl<B, E> Body for CutBody<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(shared) = &self.shared else { return Poll::Ready(None) };
        match shared.poll_body(cx) {
            Ok((frame, over)) => {
                self.at_end = over;
                frame
            }
            Err(status) => {
                self.shared = None;
                Poll::Ready(Some(Ok(self.protocol.last_frame(trailers_of(&status)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.shared {
            Some(shared) => self.at_end && !shared.is_cut(),
            None => true,
        }
    }

    /// Unknown until the end, because a cut changes it.
    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl<B, E> Drop for CutBody<B, E> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

/// An empty body, for a trailers-only response.
impl<B, E> Default for CutBody<B, E> {
    fn default() -> Self {
        Self { shared: None, at_end: true, protocol: Protocol::Grpc }
    }
}

impl<B, E> fmt::Debug for CutBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CutBody")
    }
}
