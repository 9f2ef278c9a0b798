use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;
use pin_project::pin_project;
use tonic::Status;
use tonic_call::BoxError;

use super::Progress;
use super::decoding::Decoding;
use super::gathered::{ENOUGH, Gathered};
use super::prefixed::{COMPRESSED, END_OF_STREAM, PrefixReader, Prefixed};
use crate::codec::Codec;
use crate::gzip::{self, too_large};

/// The messages of a stream of envelopes. Those that are whole go on together: each frame has its cost. More is read
/// when it is asked for.
#[pin_project]
pub(crate) struct StreamRequest<B> {
    #[pin]
    body: Option<B>,
    reader: PrefixReader,
    decoding: Decoding,
    messages: u64,
    /// What is wrong with the message behind those that went on.
    failure: Option<Status>,
}

impl<B> StreamRequest<B> {
    pub(crate) fn new(body: B, decoding: Decoding) -> Self {
        let reader = PrefixReader::default();
        Self { body: Some(body), reader, decoding, messages: 0, failure: None }
    }

    /// The next messages as gRPC frames, in one piece.
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
        if let Some(status) = this.failure.take() {
            return Poll::Ready(Some(Err(status.into())));
        }
        let mut frames = Gathered::default();
        loop {
            let decoding = &*this.decoding;
            if decoding.codec == Codec::Proto
                && let Some(same) =
                    this.reader.next_many(|flags, len| is_same(decoding, flags, len))
            {
                frames.push(same);
                return Poll::Ready(Some(Ok(frames.take())));
            }
            let added = match this.reader.next(|flags, len| check(decoding, flags, len)) {
                Ok(None) if frames.len() > 0 => return Poll::Ready(Some(Ok(frames.take()))),
                Ok(None) => None,
                Ok(Some(envelope)) => {
                    *this.messages += 1;
                    let is_allowed = one_only(decoding, *this.messages);
                    Some(is_allowed.and_then(|()| add(decoding, envelope, &mut frames)))
                }
                Err(status) => Some(Err(status)),
            };
            match added {
                Some(Ok(())) if frames.len() < ENOUGH => continue,
                Some(Err(status)) if frames.len() == 0 => {
                    return Poll::Ready(Some(Err(status.into())));
                }
                Some(added) => {
                    *this.failure = added.err();
                    return Poll::Ready(Some(Ok(frames.take())));
                }
                None => {}
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
    if messages > 1 && !decoding.method().client_streams {
        let message = "the method takes one message, but there are more";
        return Err(Status::unimplemented(message));
    }
    Ok(())
}

fn at_end(decoding: &Decoding, reader: &PrefixReader, messages: u64) -> Result<(), Status> {
    if !reader.is_between_messages() {
        return Err(Status::invalid_argument("the request ended inside an envelope"));
    }
    if messages == 0 && !decoding.method().client_streams {
        return Err(Status::unimplemented("the method takes one message, but there is none"));
    }
    Ok(())
}

/// Whether a protobuf message has the same bytes in Connect and in gRPC, and need not be looked at alone.
fn is_same(decoding: &Decoding, flags: u8, len: usize) -> bool {
    let settings = &decoding.settings;
    let max = settings.max_received.min(settings.max_decompressed);
    decoding.method().client_streams && flags == 0 && len <= max
}

/// Adds the gRPC frame of a message.
fn add(decoding: &Decoding, envelope: Prefixed, frames: &mut Gathered) -> Result<(), Status> {
    let is_compressed = envelope.flags & COMPRESSED != 0;
    let max = decoding.settings.max_decompressed;
    let message = envelope.as_message();
    if is_compressed && !message.is_empty() {
        let message = gzip::decompress(message, max)?;
        return decoding.append_frame(&message, frames.buffer());
    }
    if message.len() > max {
        return Err(too_large("message", max));
    }
    if !is_compressed && decoding.codec == Codec::Proto {
        // The same bytes in gRPC.
        frames.push(envelope.into_whole());
        return Ok(());
    }
    decoding.append_frame(message, frames.buffer())
}
