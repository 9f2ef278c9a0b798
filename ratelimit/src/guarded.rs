//! What is not ours, and may panic.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tonic_call::{drop_caught, sanitize};

/// Runs a piece that may panic; the error is the text of the panic, on one line and bounded.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(text_of)
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
    use std::panic::panic_any;
    use std::sync::Arc;

    use tonic_call_test_kit::{PanicsInDrop, silence_panics};

    use super::*;

    #[test]
    fn what_a_piece_panics_with_is_text_and_dropped_whatever_that_does() {
        silence_panics();
        let told = |run: fn()| guarded(run).err();
        assert_eq!(told(|| panic!("a text, on purpose")).as_deref(), Some("a text, on purpose"));
        assert_eq!(told(|| panic!("{}, on purpose", 7)).as_deref(), Some("7, on purpose"));
        assert_eq!(told(|| ()), None);
        let long = told(|| panic!("{}on purpose", "\n\u{1b}".repeat(50_000))).expect("a panic");
        assert!(
            long.len() <= tonic_call::MAX_TEXT_BYTES && long.starts_with(r"\n\u{1b}"),
            "{long}"
        );

        let owned = Arc::new(());
        let payload = (Arc::clone(&owned), PanicsInDrop);
        let told = guarded(|| -> () { panic_any(payload) }).err();
        assert_eq!(told.as_deref(), Some("a panic without a text"));
        assert_eq!(Arc::strong_count(&owned), 1);
    }
}
