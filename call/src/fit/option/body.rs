use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// The response body of an [`OptionService`](super::OptionService).
#[derive(Debug)]
#[pin_project]
pub struct OptionBody<On, Off>(#[pin] Either<On, Off>);

#[derive(Debug)]
#[pin_project(project = Projected)]
enum Either<On, Off> {
    On(#[pin] On),
    Off(#[pin] Off),
}

impl<On, Off> OptionBody<On, Off> {
    pub(super) fn on(body: On) -> Self {
        Self(Either::On(body))
    }

    pub(super) fn off(body: Off) -> Self {
        Self(Either::Off(body))
    }
}

impl<On, Off> Body for OptionBody<On, Off>
where
    On: Body<Data = Bytes>,
    Off: Body<Data = Bytes, Error = On::Error>,
{
    type Data = Bytes;
    type Error = On::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, On::Error>>> {
        match self.project().0.project() {
            Projected::On(body) => body.poll_frame(cx),
            Projected::Off(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Either::On(body) => body.is_end_stream(),
            Either::Off(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Either::On(body) => body.size_hint(),
            Either::Off(body) => body.size_hint(),
        }
    }
}

/// An empty body. `with_interceptor` requires `Default`.
impl<On, Off: Default> Default for OptionBody<On, Off> {
    fn default() -> Self {
        Self::off(Off::default())
    }
}
