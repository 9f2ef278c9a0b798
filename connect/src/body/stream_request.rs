use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use pin_project::pin_project;
use tonic::Status;
use tonic_call::BoxError;

use super::Progress;
use super::decoding::Decoding;
use super::prefixed::{COMPRESSED, END_OF_STREAM, PrefixReader, Prefixed, with_prefix};
use crate::codec::Codec;
use crate::gzip::{self, too_large};

/// The messages of a stream of envelopes. A message goes on when it is whole, and the next is read when it is asked
/// for.
#[pin_project]
pub(crate) struct StreamRequest<B> {
    #[pin]
    body: Option<B>,
    reader: PrefixReader,
    decoding: Decoding,
    messages: u64,
}

impl<B> StreamRequest<B> {
    pub(crate) fn new(body: B, decoding: Decoding) -> Self {
        Self { body: Some(body), reader: PrefixReader::default(), decoding, messages: 0 }
    }

    /// The next message as a gRPC frame.
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
        loop {
            let decoding = &*this.decoding;
            match this.reader.next(|flags, len| check(decoding, flags, len)) {
                Ok(None) => {}
                Ok(Some(envelope)) => {
                    *this.messages += 1;
                    let frame =
                        one_only(decoding, *this.messages).and_then(|()| frame(decoding, envelope));
                    return Poll::Ready(Some(frame.map_err(Into::into)));
                }
                Err(status) => return Poll::Ready(Some(Err(status.into()))),
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.reader.push(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    this.body.set(None);
                    progress.set_at_end();
                    let end = at_end(this.decoding, this.reader, *this.messages);
                    return Poll::Ready(end.err().map(|status| Err(status.into())));
                }
            }
        }
    }
}

/// Checks the prefix of an envelope.
fn check(decoding: &Decoding, flags: u8, len: usize) -> Result<(), Status> {
    if flags & END_OF_STREAM != 0 {
        let message = "malformed envelope: a request has no end-of-stream message";
        return Err(Status::invalid_argument(message));
    }
    if flags & !COMPRESSED != 0 {
        return Err(Status::invalid_argument("malformed envelope: unknown flags"));
    }
    if flags & COMPRESSED != 0 && !decoding.gzip {
        let message = "malformed envelope: it is compressed, but connect-content-encoding names \
                       no compression";
        // The code that the conformance suite requires, as gRPC does.
        return Err(Status::internal(message));
    }
    match len > decoding.settings.max_received {
        true => Err(too_large("message", decoding.settings.max_received)),
        false => Ok(()),
    }
}

/// A method without a stream of requests has exactly one.
fn one_only(decoding: &Decoding, messages: u64) -> Result<(), Status> {
    if messages > 1 && !decoding.method.client_streams {
        let message = "the method takes one message, but there are more";
        return Err(Status::unimplemented(message));
    }
    Ok(())
}

fn at_end(decoding: &Decoding, reader: &PrefixReader, messages: u64) -> Result<(), Status> {
    if !reader.is_between_messages() {
        return Err(Status::invalid_argument("the request ended inside an envelope"));
    }
    if messages == 0 && !decoding.method.client_streams {
        return Err(Status::unimplemented("the method takes one message, but there is none"));
    }
    Ok(())
}

fn frame(decoding: &Decoding, envelope: Prefixed) -> Result<Bytes, Status> {
    let is_compressed = envelope.flags & COMPRESSED != 0;
    let max = decoding.settings.max_decompressed;
    let mut message = envelope.message();
    if is_compressed && !message.is_empty() {
        message = gzip::decompress(&message, max)?;
    } else if message.len() > max {
        return Err(too_large("message", max));
    } else if !is_compressed && decoding.codec == Codec::Proto {
        // The same bytes in gRPC.
        return Ok(envelope.into_whole());
    }
    let message = decoding.decode(message)?;
    with_prefix(0, &message).ok_or_else(|| too_large("message", u32::MAX as usize))
}
