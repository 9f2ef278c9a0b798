//! Which messages are compressed. tonic decompresses them and does not say so, so the flags are read from the body.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Extensions, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// The flags of the messages of one body that were not asked for yet. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Arc<Mutex<VecDeque<bool>>>);

impl Flags {
    /// Those of a message that passed [`of_request`] or [`of_response`].
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Whether the next message is compressed; `None` if it was not received.
    pub(crate) fn next(&self) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn push(&self, compressed: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(compressed);
    }
}

/// Reads the flags of the request's messages.
pub(crate) fn of_request<B>(mut request: Request<B>) -> Request<FlagsBody<B>> {
    let flags = Flags::default();
    request.extensions_mut().insert(flags.clone());
    request.map(|body| FlagsBody::new(body, flags))
}

/// Reads the flags of the response's messages.
pub(crate) fn of_response<B>(mut response: Response<B>) -> Response<tonic::body::Body>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    let flags = Flags::default();
    response.extensions_mut().insert(flags.clone());
    response.map(|body| tonic::body::Body::new(FlagsBody::new(body, flags)))
}

/// A body whose messages are watched.
#[pin_project]
#[derive(Debug)]
pub(crate) struct FlagsBody<B> {
    #[pin]
    inner: B,
    prefix: Vec<u8>,
    /// Bytes of the current message that are still to come.
    remaining: usize,
    flags: Flags,
}

/// A message begins with its flag and its length.
const PREFIX: usize = 5;

impl<B> FlagsBody<B> {
    fn new(inner: B, flags: Flags) -> Self {
        Self { inner, prefix: Vec::with_capacity(PREFIX), remaining: 0, flags }
    }
}

impl<B: Body<Data = Bytes>> Body for FlagsBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = ready!(this.inner.poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let mut data = data.clone();
            while data.has_remaining() {
                let skipped = data.remaining().min(*this.remaining);
                data.advance(skipped);
                *this.remaining -= skipped;
                let missing = data.remaining().min(PREFIX - this.prefix.len());
                this.prefix.extend(data.split_to(missing));
                if let [flag, a, b, c, d] = this.prefix[..] {
                    this.flags.push(flag == 1);
                    *this.remaining = u32::from_be_bytes([a, b, c, d]) as usize;
                    this.prefix.clear();
                }
            }
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
