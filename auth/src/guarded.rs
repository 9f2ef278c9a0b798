//! What is not ours, and may panic.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tonic_call::{drop_caught, sanitize};

/// Runs a piece that may panic; the error is the text of the panic, on one line and bounded.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(text_of)
}

/// A future that may panic also when it is dropped, which may be anywhere: when its caller goes away,
/// where a connection serves others as well.
pub(crate) struct Guarded<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Guarded<T> {
    pub(crate) fn new(future: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        Self(Some(future))
    }

    /// Polls it; what it panicked with is told as text. It is gone when it is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, String>> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let over = match guarded(|| future.as_mut().poll(cx)) {
            Ok(poll) => ready!(Poll::map(poll, Ok)),
            Err(text) => Err(text),
        };
        drop_caught(self.0.take());
        Poll::Ready(over)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        drop_caught(self.0.take());
    }
}

fn text_of(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => sanitize(text).into_owned(),
        (_, Some(text)) => sanitize(text).into_owned(),
        _ => "a panic without a text".to_owned(),
    };
    drop_caught(payload);
    text
}

#[cfg(test)]
mod tests {
    use tonic_call::MAX_TEXT_BYTES;
    use tonic_call_test_kit::silence_panics;

    use super::*;

    #[test]
    fn what_a_piece_panics_with_is_one_bounded_line() {
        silence_panics();
        let short = guarded(|| -> () { panic!("a text, on purpose") });
        assert_eq!(short, Err("a text, on purpose".to_owned()));
        let long = guarded(|| -> () { panic!("{}on purpose", "\n\u{1b}".repeat(50_000)) });
        let long = long.expect_err("it panics");
        assert!(long.len() <= MAX_TEXT_BYTES && long.starts_with(r"\n\u{1b}"), "{long}");
    }
}
