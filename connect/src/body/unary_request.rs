use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use pin_project::pin_project;
use tonic::Status;
use tonic_call::BoxError;

use super::Progress;
use super::decoding::Decoding;
use super::gathered::Gathered;
use crate::gzip::{self, too_large};

/// The one message of a unary request.
#[pin_project]
pub(crate) struct UnaryRequest<B> {
    /// `None` for a message in the query, and after the end.
    #[pin]
    body: Option<B>,
    gathered: Gathered,
    decoding: Decoding,
    is_sent: bool,
}

impl<B> UnaryRequest<B> {
    pub(crate) fn of_body(body: B, decoding: Decoding) -> Self {
        Self { body: Some(body), gathered: Gathered::default(), decoding, is_sent: false }
    }

    pub(crate) fn of_query(message: Bytes, decoding: Decoding) -> Self {
        let mut gathered = Gathered::default();
        gathered.push(message);
        Self { body: None, gathered, decoding, is_sent: false }
    }

    /// The message as a gRPC frame.
    pub(crate) fn poll_data(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        progress: &Progress,
    ) -> Poll<Option<Result<Bytes, BoxError>>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut this = self.project();
        if *this.is_sent {
            return Poll::Ready(None);
        }
        let max = this.decoding.settings.max_received;
        while let Some(body) = this.body.as_mut().as_pin_mut() {
            // What is announced as too large is not read.
            if body.size_hint().lower() > max as u64 {
                return Poll::Ready(Some(Err(too_large("message", max).into())));
            }
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if data.len() > max - this.gathered.len() {
                        return Poll::Ready(Some(Err(too_large("message", max).into())));
                    }
                    this.gathered.push(data);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => this.body.set(None),
            }
        }
        progress.set_at_end();
        *this.is_sent = true;
        let frame = frame(this.decoding, this.gathered.take());
        Poll::Ready(Some(frame.map_err(Into::into)))
    }
}

fn frame(decoding: &Decoding, mut message: Bytes) -> Result<Bytes, Status> {
    let max = decoding.settings.max_decompressed;
    if decoding.gzip && !message.is_empty() {
        message = gzip::decompress(&message, max)?;
    } else if message.len() > max {
        return Err(too_large("message", max));
    }
    decoding.frame(&message)
}
