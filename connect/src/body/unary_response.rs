use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use pin_project::pin_project;

use super::prefixed::PrefixReader;
use crate::error::Failure;

/// Reads the one message of a unary answer, and its trailers: both decide the head of a Connect answer.
#[pin_project]
pub(crate) struct UnaryResponse<B> {
    #[pin]
    body: B,
    reader: PrefixReader,
    message: Option<Bytes>,
    /// The head already contained `OK`, which counts if no trailers follow.
    is_ok: bool,
}

/// All of a unary answer behind its head.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) outcome: Result<Bytes, Failure>,
    pub(crate) trailers: HeaderMap,
}

impl<B> UnaryResponse<B> {
    pub(crate) fn new(body: B, is_ok: bool) -> Self {
        Self { body, reader: PrefixReader::default(), message: None, is_ok }
    }

    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Collected>
    where
        B: Body<Data = Bytes>,
        B::Error: 'static,
    {
        let mut this = self.project();
        loop {
            match this.reader.next(check) {
                Ok(None) => {}
                Ok(Some(frame)) if this.message.is_none() => {
                    *this.message = Some(frame.message());
                    continue;
                }
                // One message is the rule of a unary method.
                Ok(Some(_)) => return Poll::Ready(Collected::failed(Failure::malformed())),
                Err(failure) => return Poll::Ready(Collected::failed(failure)),
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.reader.push(data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        let failure = Failure::in_trailers(&trailers);
                        let failure = failure.or_else(|| broken_off(this.reader));
                        let outcome = outcome(failure, this.message.take());
                        return Poll::Ready(Collected { outcome, trailers });
                    }
                },
                Some(Err(error)) => {
                    return Poll::Ready(Collected::failed(Failure::of_error(&error)));
                }
                None => {
                    let failure = (!*this.is_ok).then(Failure::without_status);
                    let failure = failure.or_else(|| broken_off(this.reader));
                    let outcome = outcome(failure, this.message.take());
                    return Poll::Ready(Collected { outcome, trailers: HeaderMap::new() });
                }
            }
        }
    }
}

impl Collected {
    fn failed(failure: Failure) -> Self {
        Self { outcome: Err(failure), trailers: HeaderMap::new() }
    }
}

fn outcome(failure: Option<Failure>, message: Option<Bytes>) -> Result<Bytes, Failure> {
    match failure {
        Some(failure) => Err(failure),
        None => message.ok_or_else(Failure::malformed),
    }
}

/// The request offered no compression, so that a compressed frame can't be read.
pub(super) fn check(flags: u8, _: usize) -> Result<(), Failure> {
    if flags == 0 { Ok(()) } else { Err(Failure::malformed()) }
}

/// The failure of an answer that ends inside a message.
pub(super) fn broken_off(reader: &PrefixReader) -> Option<Failure> {
    (!reader.is_between_messages()).then(Failure::malformed)
}
