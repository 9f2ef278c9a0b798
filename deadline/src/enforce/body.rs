use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic::{Code, Status};
use tonic_call::{AnswerBody, CutBody, as_error, code_of_error};

use super::watchdog::Watchdog;

/// The largest piece that HTTP gets at once where stalls are watched: HTTP asks for the next one when the caller has
/// read it.
const MAX_PIECE_BYTES: usize = 16 * 1024;

/// The response body of a call through a deadline layer.
#[pin_project]
pub struct ResponseBody<B, E>(#[pin] Kind<B, E>);

#[pin_project(project = Projection)]
enum Kind<B, E> {
    Unlimited(#[pin] AnswerBody<B>),
    Limited(#[pin] Limited<B, E>),
}

#[pin_project]
struct Limited<B, E> {
    #[pin]
    body: CutBody<B, E>,
    /// The rest of a frame that is sent in pieces.
    rest: Bytes,
    /// `None` once the call is over.
    watchdog: Option<Watchdog>,
}

impl<B, E> ResponseBody<B, E> {
    pub(super) fn of_service(body: B) -> Self {
        Self::unlimited(AnswerBody::inner(body))
    }

    pub(super) fn unlimited(body: AnswerBody<B>) -> Self {
        Self(Kind::Unlimited(body))
    }

    pub(super) fn limited(body: CutBody<B, E>, mut watchdog: Option<Watchdog>) -> Self
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match &mut watchdog {
            Some(watchdog) if !body.is_end_stream() => watchdog.responded(),
            _ => watchdog = None,
        }
        Self(Kind::Limited(Limited { body, rest: Bytes::new(), watchdog }))
    }
}

type FramePoll<B> = Poll<Option<Result<Frame<Bytes>, <B as Body>::Error>>>;

impl<B, E> Limited<B, E>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    /// The error is the status to end with, instead of what the inner body has ended with.
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<FramePoll<B>, Status> {
        let mut this = self.project();
        let Some(watchdog) = this.watchdog else { return Ok(this.body.poll_frame(cx)) };
        watchdog.read();
        if this.rest.is_empty() {
            let frame = watchdog.poll(|| this.body.as_mut().poll_frame(cx));
            match frame {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    if !watchdog.watches_stalls() {
                        return Ok(Poll::Ready(Some(Ok(frame))));
                    }
                    *this.rest = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(last) => {
                    let instead = code_of_last(last.as_ref()).and_then(|c| watchdog.instead_of(c));
                    *this.watchdog = None;
                    return instead.map_or(Ok(Poll::Ready(last)), Err);
                }
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(MAX_PIECE_BYTES));
        watchdog.sent();
        Ok(Poll::Ready(Some(Ok(Frame::data(piece)))))
    }
}

/// The code that a body ends with.
fn code_of_last<E: 'static>(last: Option<&Result<Frame<Bytes>, E>>) -> Option<Code> {
    match last? {
        Ok(frame) => super::code_in(frame.trailers_ref()?),
        Err(error) => as_error(error).map(code_of_error),
    }
}

impl<B, E> Body for ResponseBody<B, E>
where
    B: Body<Data = Bytes> + Unpin + 'static,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            let mut kind = self.as_mut().project().0;
            match kind.as_mut().project() {
                Projection::Unlimited(body) => return body.poll_frame(cx),
                Projection::Limited(body) => match body.poll_frame(cx) {
                    Ok(frame) => return frame,
                    Err(status) => kind.set(Kind::Unlimited(AnswerBody::trailers(&status))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Unlimited(body) => body.is_end_stream(),
            Kind::Limited(limited) => limited.rest.is_empty() && limited.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Unlimited(body) => body.size_hint(),
            Kind::Limited(limited) if limited.rest.is_empty() => limited.body.size_hint(),
            Kind::Limited(_) => SizeHint::default(),
        }
    }
}

/// A body that is at its end: that of an answer in the head alone.
impl<B, E> Default for ResponseBody<B, E> {
    fn default() -> Self {
        Self::unlimited(AnswerBody::default())
    }
}

impl<B, E> fmt::Debug for ResponseBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}
