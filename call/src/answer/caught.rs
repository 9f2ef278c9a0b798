//! Runs foreign code that may panic.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::show::sanitize;

/// Runs code that may panic, such as a function that the user passed to a layer. The error is the panic
/// message, [sanitized](sanitize): one bounded line.
///
/// ```
/// # std::panic::set_hook(Box::new(|_| {}));
/// use tonic_call::guarded;
///
/// assert_eq!(guarded(|| 1 + 1), Ok(2));
/// assert_eq!(guarded(|| -> u32 { panic!("no\nnumber") }), Err(r"no\nnumber".to_owned()));
/// ```
///
/// # Errors
///
/// If the code panics.
pub fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let message = panic_message(&*payload).map(|message| sanitize(message).into_owned());
        drop_caught(payload);
        message.unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

/// A boxed future that may panic when polled or dropped; both panics are caught. A panic in a drop could
/// otherwise unwind through a connection that other calls share.
pub struct Guarded<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Guarded<T> {
    /// Guards a future.
    pub fn new(future: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        Self(Some(future))
    }

    /// Polls the future; the error is the panic message, as from [`guarded`]. The future is dropped once it
    /// completes or panics, and further polls return `Pending`.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, String>> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        let result = match guarded(|| future.as_mut().poll(cx)) {
            Ok(poll) => ready!(Poll::map(poll, Ok)),
            Err(message) => Err(message),
        };
        drop_caught(self.0.take());
        Poll::Ready(result)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        drop_caught(self.0.take());
    }
}

impl<T> std::fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

/// The message of a panic raised by `panic!`; `None` for another payload. The text is not trusted: [`sanitize`]
/// it before it is shown.
///
/// Runs no code of the payload, so it is safe inside a panic hook.
pub fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    let literal = payload.downcast_ref::<&'static str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Drops a value and catches a panic in its destructor. Returns false if it panicked.
///
/// For code outside any recovery layer, such as timers and tasks, and for panic payloads, whose destructors may
/// panic too.
pub fn drop_caught<T>(value: T) -> bool {
    match catch_unwind(AssertUnwindSafe(|| drop(value))) {
        Ok(()) => true,
        Err(payload) => {
            // The destructor of this payload may panic as well; then the next payload is leaked.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(payload);
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;
    use std::sync::Arc;

    use super::*;
    use crate::MAX_TEXT_BYTES;

    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop, on purpose");
        }
    }

    #[test]
    fn a_panic_payload_becomes_text_and_is_dropped_even_if_its_drop_panics() {
        let message = |run: fn()| guarded(run).err();
        assert_eq!(message(|| panic!("a text, on purpose")).as_deref(), Some("a text, on purpose"));
        assert_eq!(message(|| panic!("{}, on purpose", 7)).as_deref(), Some("7, on purpose"));
        assert_eq!(message(|| ()), None);
        let long = message(|| panic!("{}on purpose", "\n\u{1b}".repeat(50_000))).expect("a panic");
        assert!(long.len() <= MAX_TEXT_BYTES && long.starts_with(r"\n\u{1b}"), "{long}");

        let owned = Arc::new(());
        let payload = (Arc::clone(&owned), PanicsInDrop);
        let message = guarded(|| -> () { panic_any(payload) }).err();
        assert_eq!(message.as_deref(), Some("a panic without a message"));
        assert_eq!(Arc::strong_count(&owned), 1);
    }

    #[test]
    fn a_guarded_future_may_panic_in_its_poll_and_in_its_drop() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut good = Guarded::new(Box::pin(async { 7 }));
        assert_eq!(good.poll(&mut cx), Poll::Ready(Ok(7)));
        assert_eq!(good.poll(&mut cx), Poll::Pending);
        let mut bad = Guarded::<()>::new(Box::pin(async { panic!("on purpose") }));
        assert_eq!(bad.poll(&mut cx), Poll::Ready(Err("on purpose".to_owned())));
        let bomb = PanicsInDrop;
        let dropped = Guarded::<()>::new(Box::pin(async move {
            let _bomb = bomb;
            std::future::pending::<()>().await;
        }));
        drop(dropped);
    }
}
