use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic_call::{AnswerBody, CutBody};

use super::expiry::Timer;

/// The response body of an [`Auth`](crate::Auth).
#[pin_project]
pub struct ResponseBody<B, E> {
    #[pin]
    content: Content<B, E>,
    timer: Option<Timer>,
}

#[pin_project(project = Projection)]
enum Content<B, E> {
    Whole(#[pin] AnswerBody<B>),
    /// A body that ends when the credentials expire.
    Cut(#[pin] CutBody<B, E>),
}

impl<B, E> ResponseBody<B, E> {
    pub(crate) fn whole(body: AnswerBody<B>, timer: Option<Timer>) -> Self {
        Self { content: Content::Whole(body), timer }
    }

    pub(crate) fn cut(body: CutBody<B, E>, timer: Option<Timer>) -> Self {
        Self { content: Content::Cut(body), timer }
    }
}

impl<B, E> Body for ResponseBody<B, E>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().content.project() {
            Projection::Whole(body) => body.poll_frame(cx),
            Projection::Cut(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_end_stream(),
            Content::Cut(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => body.size_hint(),
            Content::Cut(body) => body.size_hint(),
        }
    }
}

/// An empty body.
impl<B, E> Default for ResponseBody<B, E> {
    fn default() -> Self {
        Self::whole(AnswerBody::default(), None)
    }
}

impl<B, E> fmt::Debug for ResponseBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseBody")
    }
}
