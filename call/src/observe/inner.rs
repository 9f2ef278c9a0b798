//! The future or body inside a watched one.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;

/// A future or body that is dropped in the scope of its call.
///
/// It is polled in that scope, and dropped in its last poll: to enter the scope again for the drop is expensive.
#[pin_project(project = Projection, project_replace = Replaced)]
pub(super) enum Inner<T> {
    Live(#[pin] T),
    Dropped,
    /// Dropped, and its destructor has panicked with this. The mutex makes it `Sync`.
    Panicked(Box<Mutex<Box<dyn Any + Send>>>),
}

impl<T> Inner<T> {
    /// Drops what has completed. A panic of the destructor must not lose what the last poll has returned: it
    /// continues in [`drop_rest`](Self::drop_rest).
    // `extern "C"` never unwinds. The compiler then lets the poll write its result, which is large, where it stays.
    extern "C" fn complete(mut self: Pin<&mut Self>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.as_mut().set(Self::Dropped))) {
            self.set(Self::Panicked(Box::new(Mutex::new(payload))));
        }
    }

    /// Whether [`drop_rest`](Self::drop_rest) has anything to do.
    pub(super) fn has_rest(&self) -> bool {
        !matches!(self, Self::Dropped)
    }

    /// Drops what was not polled to its end, and continues the panic of a destructor. To be called in the scope of
    /// the call.
    pub(super) fn drop_rest(self: Pin<&mut Self>) {
        if let Replaced::Panicked(payload) = self.project_replace(Self::Dropped) {
            resume_unwind(payload.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl<F: Future> Future for Inner<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Projection::Live(future) = self.as_mut().project() else {
            panic!("a `ResponseFuture` was polled after it had completed");
        };
        let polled = future.poll(cx);
        if polled.is_ready() {
            self.complete();
        }
        polled
    }
}

impl<B: Body<Data = Bytes>> Body for Inner<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Projection::Live(body) = self.as_mut().project() else { return Poll::Ready(None) };
        let polled = body.poll_frame(cx);
        let goes_on = match &polled {
            Poll::Pending => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_data(),
            Poll::Ready(Some(Err(_)) | None) => false,
        };
        if !goes_on {
            self.complete();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Live(body) => body.is_end_stream(),
            Self::Dropped | Self::Panicked(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Live(body) => body.size_hint(),
            Self::Dropped | Self::Panicked(_) => SizeHint::with_exact(0),
        }
    }
}
