use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use pin_project::pin_project;

use super::gathered::{ENOUGH, Gathered};
use super::prefixed::{COMPRESSED, END_OF_STREAM, PrefixReader, Prefixed, append, with_prefix};
use super::unary_response::{broken_off, check};
use crate::codec::Codec;
use crate::detect::Answer;
use crate::error::{Failure, end_of_stream};
use crate::gzip;
use crate::head::strip_trailers;
use crate::settings::Settings;

/// Turns the frames of a gRPC answer into envelopes, one at a time, and its trailers into the last envelope.
#[pin_project]
pub(crate) struct ResponseStream<B> {
    /// `None` once the end is known.
    #[pin]
    body: Option<B>,
    reader: PrefixReader,
    settings: Arc<Settings>,
    answer: Answer,
    /// The head already contained `OK`, which counts if no trailers follow.
    is_ok: bool,
    last: Option<Bytes>,
}

impl<B> ResponseStream<B> {
    pub(crate) fn new(body: B, is_ok: bool, settings: Arc<Settings>, answer: Answer) -> Self {
        let reader = PrefixReader::default();
        Self { body: Some(body), reader, settings, answer, is_ok, last: None }
    }

    /// A stream without messages.
    pub(crate) fn ended(
        settings: Arc<Settings>,
        answer: Answer,
        failure: Option<&Failure>,
        metadata: &HeaderMap,
    ) -> Self {
        let last = last_envelope(&settings, failure, metadata);
        let reader = PrefixReader::default();
        Self { body: None, reader, settings, answer, is_ok: false, last: Some(last) }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.body.is_none() && self.last.is_none()
    }

    pub(crate) fn poll_envelope(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: 'static,
    {
        let mut this = self.project();
        // The envelopes of messages that came together go on together: each frame has its cost.
        let mut envelopes = Gathered::default();
        let (failure, mut metadata) = loop {
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                return Poll::Ready(this.last.take());
            };
            if this.answer.codec == Codec::Proto
                && let Some(same) = this.reader.next_many(is_same(this.settings, this.answer))
            {
                envelopes.push(same);
                return Poll::Ready(Some(envelopes.take()));
            }
            match this.reader.next(check) {
                Ok(None) if envelopes.len() > 0 => return Poll::Ready(Some(envelopes.take())),
                Ok(None) => {}
                Ok(Some(frame)) => match add(this.settings, this.answer, frame, &mut envelopes) {
                    Ok(()) => {
                        if envelopes.len() >= ENOUGH {
                            return Poll::Ready(Some(envelopes.take()));
                        }
                        continue;
                    }
                    Err(failure) => break (Some(failure), HeaderMap::new()),
                },
                Err(failure) => break (Some(failure), HeaderMap::new()),
            }
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.reader.push(data),
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        break (Failure::in_trailers(&trailers), trailers);
                    }
                },
                Some(Err(error)) => break (Some(Failure::of_error(&error)), HeaderMap::new()),
                None => break ((!*this.is_ok).then(Failure::without_status), HeaderMap::new()),
            }
        };
        let failure = failure.or_else(|| broken_off(this.reader));
        // The handler's stream ends here, and not when the caller has read the last envelope.
        this.body.set(None);
        strip_trailers(&mut metadata);
        envelopes.push(last_envelope(this.settings, failure.as_ref(), &metadata));
        Poll::Ready(Some(envelopes.take()))
    }
}

/// Whether a protobuf message has the same bytes in gRPC and in Connect.
fn is_same(settings: &Settings, answer: &Answer) -> impl Fn(u8, usize) -> bool {
    let below = if answer.gzip { settings.compress_from } else { usize::MAX };
    move |flags, len| flags == 0 && len < below
}

/// Adds the envelope of a message.
fn add(
    settings: &Settings,
    answer: &Answer,
    frame: Prefixed,
    envelopes: &mut Gathered,
) -> Result<(), Failure> {
    let Some(method) = answer.method else { return Err(Failure::malformed()) };
    let output = &settings.methods.get(method).output;
    let message = frame.as_message();
    let failed = |status| Failure::from(&status);
    if answer.gzip && message.len() >= settings.compress_from {
        let message = answer.codec.encode(settings, output, frame.message());
        let envelope = with_prefix(COMPRESSED, &gzip::compress(&message.map_err(failed)?));
        envelopes.push(envelope.ok_or_else(Failure::malformed)?);
    } else if answer.codec == Codec::Proto {
        // The same bytes in Connect.
        envelopes.push(frame.into_whole());
    } else {
        let envelopes = envelopes.buffer();
        let is_whole =
            append(envelopes, |out| answer.codec.encode_to(settings, output, message, out));
        if !is_whole.map_err(failed)? {
            return Err(Failure::malformed());
        }
    }
    Ok(())
}

fn last_envelope(settings: &Settings, failure: Option<&Failure>, metadata: &HeaderMap) -> Bytes {
    let message = end_of_stream(settings, failure, metadata);
    // Headers are far smaller than the limit of a prefix.
    with_prefix(END_OF_STREAM, &message).unwrap_or_default()
}
